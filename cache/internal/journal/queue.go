package journal

import "time"

// queue has the entries of a journal, as a heap: the one whose next attempt may begin first is
// the first. Its methods but the last are those of container/heap.
type queue []*entry

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].next.Before(q[j].next) }

func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i, j
}

// Push adds an entry behind the others.
func (q *queue) Push(e any) {
	e.(*entry).place = len(*q)
	*q = append(*q, e.(*entry))
}

// Pop removes the last entry.
func (q *queue) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return e
}

// due returns the names of the entries whose next attempt may begin by then, at most limit. It
// looks at no others but those right behind them.
func (q queue) due(by time.Time, limit int) (names []string) {
	look := []int{0}
	for len(look) > 0 && len(names) < limit {
		i := look[len(look)-1]
		look = look[:len(look)-1]
		if i >= len(q) || q[i].next.After(by) {
			continue
		}
		names = append(names, q[i].name)
		look = append(look, 2*i+1, 2*i+2)
	}
	return names
}
