package consistency

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"

	"github.com/nearside-go/nearside/internal/history"
	"github.com/nearside-go/nearside/local"
)

// Summary is the report of a process at its end, in JSON.
type Summary struct {
	Failed int64 // reads that returned an error
	Loads  uint64
	Misses uint64
	Gaps   uint64
}

// The commands that a process reads from its standard input, one on each line. The process
// answers each command with a line. The answer to end is a Summary.
const (
	quiet  = "quiet"  // end the writes
	rest   = "rest"   // end the reads too, and record the values held
	resume = "resume" // read and write again
	end    = "end"
)

// Run runs a process of the fleet. It returns after the command end, or when its input
// ends.
func Run(config string, in io.Reader, out io.Writer) error {
	var c Config
	if err := json.Unmarshal([]byte(config), &c); err != nil {
		return err
	}
	f, err := os.OpenFile(c.File, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	p := &process{Config: c, source: OpenSource(c.Source), file: &file{f: f}, out: out}
	if err := p.start(); err != nil {
		return err
	}
	defer p.shut()
	fmt.Fprintln(out, "running")
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		done, err := p.obey(lines.Text())
		if done || err != nil {
			return err
		}
	}
	return errors.New("the parent is gone")
}

// process is a running process of the fleet.
type process struct {
	Config
	source  *Source
	file    *file
	out     io.Writer
	storage storage
	shut    func()
	near    *nearside // nil for plain cache-aside

	failed           atomic.Int64
	clients          int // made so far
	reading, writing context.CancelFunc
	readers, writers sync.WaitGroup
	mu               sync.Mutex // guards err
	err              error
}

func (p *process) start() error {
	if p.Plain {
		store, err := local.New[string, int64](local.Options{})
		if err != nil {
			return err
		}
		client := p.client()
		p.storage, p.shut = plain{store, p.Local, client, p.source}, func() { _ = client.Close() }
	} else {
		c, shut, err := p.open()
		if err != nil {
			return err
		}
		p.near, p.storage, p.shut = c, near{c, p.source}, shut
	}
	p.resume()
	return nil
}

// resume starts the clients.
func (p *process) resume() {
	var reading, writing context.Context
	reading, p.reading = context.WithCancel(context.Background())
	writing, p.writing = context.WithCancel(context.Background())
	for range p.Readers {
		p.run(&p.readers, func(c *client) error { return c.readOn(reading) })
	}
	for range p.Writers {
		p.run(&p.writers, func(c *client) error { return c.writeOn(writing) })
	}
}

func (p *process) newClient() *client {
	p.clients++
	return &client{
		instance: p.Instance, random: rand.New(rand.NewPCG(p.Seed, uint64(p.clients))),
		source: p.source, cache: p.storage, diary: &diary{to: p.file}, failed: &p.failed,
	}
}

func (p *process) run(wg *sync.WaitGroup, work func(*client) error) {
	c := p.newClient()
	wg.Go(func() {
		if err := work(c); err != nil {
			p.mu.Lock()
			p.err = errors.Join(p.err, err)
			p.mu.Unlock()
		}
	})
}

func (p *process) obey(command string) (done bool, err error) {
	switch command {
	case quiet:
		p.writing()
		p.writers.Wait()
		fmt.Fprintln(p.out, "quiet")
		return false, nil
	case rest:
		p.endReads()
		err := p.rest()
		fmt.Fprintln(p.out, "at rest")
		return false, err
	case resume:
		p.resume()
		fmt.Fprintln(p.out, "running")
		return false, nil
	case end:
		p.endReads()
		p.mu.Lock()
		defer p.mu.Unlock()
		return true, errors.Join(p.err, json.NewEncoder(p.out).Encode(p.summary()))
	}
	return false, fmt.Errorf("unknown command %q", command)
}

func (p *process) endReads() {
	p.reading()
	p.readers.Wait()
}

// rest records the value of each key that this instance returns without a load, and the
// tier of the value. No other reads run, so a change of the hit count is due to this read.
func (p *process) rest() error {
	if p.near == nil {
		return nil
	}
	d := &diary{to: p.file}
	hits := p.near.Stats().LocalHits
	for _, key := range Keys() {
		if v, err := p.near.Get(context.Background(), key); err == nil {
			tier := "redis"
			if now := p.near.Stats().LocalHits; now > hits {
				tier, hits = "local", now
			}
			d.Rests = append(d.Rests, history.Rest{Tier: tier, Instance: p.Instance, Key: key, Version: v.Version, At: history.Now()})
		}
	}
	return d.save(true)
}

func (p *process) summary() Summary {
	s := Summary{Failed: p.failed.Load()}
	if p.near != nil {
		st := p.near.Stats()
		s.Loads, s.Misses, s.Gaps = st.Loads, st.Misses, st.Gaps
	}
	return s
}
