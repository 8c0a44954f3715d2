package history

// past is the history of a key without its reads.
type past struct {
	commits map[int64]int64   // the start of each version's commit
	all     *timeline         // of the invalidations of all instances
	own     map[int]*timeline // of the invalidations of each instance
}

// pasts sorts the records of h by key.
func pasts(h History) map[string]*past {
	pasts := make(map[string]*past)
	of := func(key string) *past {
		p := pasts[key]
		if p == nil {
			p = &past{commits: make(map[int64]int64), own: make(map[int]*timeline)}
			pasts[key] = p
		}
		return p
	}
	for _, c := range h.Commits {
		p := of(c.Key)
		if start, ok := p.commits[c.Version]; !ok || c.Start < start {
			p.commits[c.Version] = c.Start
		}
	}
	byKey := make(map[string][]Invalidated)
	for _, inv := range h.Invalidated {
		byKey[inv.Key] = append(byKey[inv.Key], inv)
	}
	for key, invalidated := range byKey {
		of(key).order(invalidated)
	}
	return pasts
}

// order makes the timelines from the invalidations of a key.
func (p *past) order(invalidated []Invalidated) {
	p.all = newTimeline(invalidated)
	byInstance := make(map[int][]Invalidated)
	for _, inv := range invalidated {
		byInstance[inv.Instance] = append(byInstance[inv.Instance], inv)
	}
	for instance, invalidated := range byInstance {
		p.own[instance] = newTimeline(invalidated)
	}
}

// byOwn returns the earliest invalidation by r's own instance that makes r stale.
func (p *past) byOwn(r Read) (inv Invalidated, ok bool) {
	return p.own[r.Instance].until(r.Start, func(k peak) bool { return k.version > r.Version })
}

// byOthers returns the earliest invalidation by another instance that makes r stale.
func (p *past) byOthers(r Read) (inv Invalidated, ok bool) {
	return p.all.until(r.Start, func(k peak) bool { return k.without(r.Instance) > r.Version })
}
