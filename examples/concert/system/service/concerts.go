package service

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/nearside-go/nearside/examples/concert/system/store"
)

func (s *Service) getCategories(r *http.Request) (reply, error) {
	all, err := s.read.categories.get(r.Context(), allCategories)
	return reply{body: all}, err
}

func (s *Service) getConcerts(r *http.Request) (reply, error) {
	id, err := pathID(r)
	if err != nil {
		return reply{}, err
	}
	all, err := s.read.concerts.of(r.Context(), id)
	if err != nil {
		return reply{}, err
	}
	e := edgeHeaders{tags: []string{CategoryTag(id)}}
	parts := []int64{int64(s.config.Version)}
	for _, v := range all {
		e.tags = append(e.tags, ConcertTag(v.ID))
		parts = append(parts, v.ID, v.Version)
	}
	e.version = versionOf(parts...)
	return reply{body: all, edge: e}, nil
}

// Page is the answer of a concert's page.
type Page struct {
	View
	CategoryName string         `json:"category_name"`
	Notices      []store.Notice `json:"notices"`
}

func (s *Service) getConcert(r *http.Request) (reply, error) {
	id, err := pathID(r)
	if err != nil {
		return reply{}, err
	}
	view, err := s.read.concerts.get(r.Context(), id)
	if err != nil {
		return reply{}, err
	}
	categories, err := s.read.categories.get(r.Context(), allCategories)
	if err != nil {
		return reply{}, err
	}
	notices, err := s.read.notices.get(r.Context(), id)
	if err != nil {
		return reply{}, err
	}
	page := Page{View: view, Notices: notices}
	for _, c := range categories {
		if c.ID == view.Category {
			page.CategoryName = c.Name
		}
	}
	newest := int64(0)
	if len(notices) > 0 {
		newest = notices[0].ID
	}
	e := edgeHeaders{tags: []string{ConcertTag(id)}, version: versionOf(int64(s.config.Version), view.ID, view.Version, newest)}
	return reply{body: page, edge: e}, nil
}

func (s *Service) putPrice(r *http.Request) (reply, error) {
	id, err := pathID(r)
	if err != nil {
		return reply{}, err
	}
	var body struct{ Cents int64 }
	if err := decode(r, &body); err != nil {
		return reply{}, err
	}
	if body.Cents <= 0 {
		return reply{}, errBadRequest("the price is not positive")
	}
	err = s.store.SetPrice(r.Context(), id, body.Cents)
	// After an error, too: the statement may have been carried out, and only its answer lost.
	s.invalidated(s.read.concerts.changed(r.Context(), id))
	s.purge(r.Context(), id)
	return reply{body: body}, err
}

// putNotice adds a notice. Its name comes with the request, so that the notice is added once if
// a load balancer sends the request again.
func (s *Service) putNotice(r *http.Request) (reply, error) {
	id, err := pathID(r)
	if err != nil {
		return reply{}, err
	}
	var body struct{ Text string }
	if err := decode(r, &body); err != nil {
		return reply{}, err
	}
	if body.Text == "" {
		return reply{}, errBadRequest("the notice has no text")
	}
	name := r.PathValue("name")
	if len(name) > 200 || strings.ContainsRune(name, 0) {
		return reply{}, errBadRequest("the name of the notice has more than 200 bytes, or a zero byte")
	}
	err = s.store.AddNotice(r.Context(), id, name, body.Text)
	s.invalidated(s.read.notices.invalidate(r.Context(), id))
	s.purge(r.Context(), id)
	return reply{body: body}, err
}

// Hall is the answer of a concert's seats.
type Hall struct {
	Seats int   `json:"seats"`
	Sold  []int `json:"sold"`
}

// getSeats answers with the seats of a concert. A client that knows how many are sold may say
// so, as in ?sold=12. Its answer waits until that is not so any more, for watchFor at most.
func (s *Service) getSeats(r *http.Request) (reply, error) {
	id, err := pathID(r)
	if err != nil {
		return reply{}, err
	}
	known := -1 // no number of seats
	if text := r.FormValue("sold"); text != "" {
		if known, err = strconv.Atoi(text); err != nil {
			return reply{}, errBadRequest("the number of sold seats is no number")
		}
	}
	view, err := s.read.concerts.get(r.Context(), id)
	sold, soldErr := s.watchSeats(r.Context(), id, known)
	return reply{body: Hall{Seats: view.Seats, Sold: sold}}, errors.Join(err, soldErr)
}

const (
	// watchFor is how long an answer may wait for news. It is less than a load balancer waits
	// for an answer.
	watchFor   = 300 * time.Millisecond
	watchEvery = 100 * time.Millisecond
)

// watchSeats returns the sold seats of a concert once their number is not the known one, or
// when watchFor is over.
func (s *Service) watchSeats(ctx context.Context, id int64, known int) ([]int, error) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for end := time.Now().Add(watchFor); ; {
		sold, err := s.read.seats.get(ctx, id)
		if err != nil || len(sold) != known || time.Now().After(end) {
			return sold, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
