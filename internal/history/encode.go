package history

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"unicode/utf8"
)

// line is a record of any kind, as a line of a file. Zero fields are left out.
type line struct {
	Tag      string `json:"t"` // r, c, i, f, or h for a Rest
	Instance int    `json:"i,omitempty"`
	Name     string `json:"n,omitempty"` // a fault's kind, or a tier
	Key      string `json:"k,omitempty"`
	Version  int64  `json:"v,omitempty"`
	Start    int64  `json:"s,omitempty"` // At, for a Rest
	End      int64  `json:"e,omitempty"`
}

// lines yields h's records as lines.
func (h History) lines(yield func(line) bool) {
	for _, r := range h.Reads {
		if !yield(line{Tag: "r", Instance: r.Instance, Key: r.Key, Version: r.Version, Start: r.Start, End: r.End}) {
			return
		}
	}
	for _, r := range h.Commits {
		if !yield(line{Tag: "c", Key: r.Key, Version: r.Version, Start: r.Start, End: r.End}) {
			return
		}
	}
	for _, r := range h.Invalidated {
		if !yield(line{Tag: "i", Instance: r.Instance, Key: r.Key, Version: r.Version, Start: r.Start, End: r.End}) {
			return
		}
	}
	for _, r := range h.Faults {
		if !yield(line{Tag: "f", Instance: r.Instance, Name: r.Kind, Start: r.Start, End: r.End}) {
			return
		}
	}
	for _, r := range h.Rests {
		if !yield(line{Tag: "h", Instance: r.Instance, Name: r.Tier, Key: r.Key, Version: r.Version, Start: r.At}) {
			return
		}
	}
}

func (h *History) add(l line) error {
	switch l.Tag {
	case "r":
		h.Reads = append(h.Reads, Read{l.Instance, l.Key, l.Version, l.Start, l.End})
	case "c":
		h.Commits = append(h.Commits, Commit{l.Key, l.Version, l.Start, l.End})
	case "i":
		h.Invalidated = append(h.Invalidated, Invalidated{l.Instance, l.Key, l.Version, l.Start, l.End})
	case "f":
		h.Faults = append(h.Faults, Fault{l.Name, l.Instance, l.Start, l.End})
	case "h":
		h.Rests = append(h.Rests, Rest{l.Name, l.Instance, l.Key, l.Version, l.Start})
	default:
		return fmt.Errorf("unknown tag %q", l.Tag)
	}
	return nil
}

// counted counts the bytes that are written to w.
type counted struct {
	w io.Writer
	n int64
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// WriteTo writes h as JSON, one record on each line. A key or a name that is not UTF-8 is
// an error, because JSON cannot hold it.
func (h History) WriteTo(w io.Writer) (int64, error) {
	out := &counted{w: w}
	buffer := bufio.NewWriter(out)
	encoder := json.NewEncoder(buffer)
	encoder.SetEscapeHTML(false)
	for l := range h.lines {
		if !utf8.ValidString(l.Key) || !utf8.ValidString(l.Name) {
			return out.n, errors.New("history: a key or a name is not UTF-8")
		}
		if err := encoder.Encode(l); err != nil {
			return out.n, fmt.Errorf("history: write: %w", err)
		}
	}
	if err := buffer.Flush(); err != nil {
		return out.n, fmt.Errorf("history: write: %w", err)
	}
	return out.n, nil
}

// ReadFrom adds the records in r to the records of h, so that the files of several
// processes can be read one after the other. After an error h has the records before the
// bad line. The error is io.ErrUnexpectedEOF if the last line is cut off, as in the file of
// a process that was killed.
func (h *History) ReadFrom(r io.Reader) (n int64, err error) {
	in := bufio.NewReader(r)
	for number := 1; ; number++ {
		text, err := in.ReadBytes('\n')
		n += int64(len(text))
		if err == io.EOF && len(text) == 0 {
			return n, nil
		}
		if err != nil && err != io.EOF {
			return n, fmt.Errorf("history: read: %w", err)
		}
		var l line
		bad := json.Unmarshal(text, &l)
		if bad == nil {
			bad = h.add(l)
		} else if err == io.EOF {
			bad = io.ErrUnexpectedEOF
		}
		if bad != nil {
			return n, fmt.Errorf("history: line %d: %w", number, bad)
		}
	}
}

// Save writes h to a file, as [History.WriteTo] does.
func Save(path string, h History) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("history: save: %w", err)
	}
	_, err = h.WriteTo(f)
	return errors.Join(err, f.Close())
}

// Load reads a file that Save has written, as [History.ReadFrom] does: after an error Load
// returns the records before the bad line too.
func Load(path string) (History, error) {
	f, err := os.Open(path)
	if err != nil {
		return History{}, fmt.Errorf("history: load: %w", err)
	}
	defer f.Close()
	var h History
	_, err = h.ReadFrom(f)
	return h, err
}
