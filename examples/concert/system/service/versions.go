package service

import "github.com/nearside-go/nearside/examples/concert/system/store"

// View is a concert as clients of the API see it, whichever version of the service answers.
type View struct {
	ID       int64  `json:"id"`
	Category int64  `json:"category"`
	Title    string `json:"title"`
	Venue    string `json:"venue"`
	Seats    int    `json:"seats"`
	Cents    int64  `json:"cents"`
	Currency string `json:"currency,omitempty"` // version 2 has it
	Version  int64  `json:"version"`
}

// V1 is the shape in which version 1 of the service caches a concert.
type V1 struct {
	ID, Category int64
	Title, Venue string
	Seats        int
	Price        int64
	Version      int64
}

func toV1(c store.Concert) V1 {
	return V1{c.ID, c.Category, c.Title, c.Venue, c.Seats, c.Cents, c.Version}
}

func (v V1) view() View {
	return View{v.ID, v.Category, v.Title, v.Venue, v.Seats, v.Price, "", v.Version}
}

// V2 is the shape of version 2. Its price is an object, which version 1 could not decode.
type V2 struct {
	ID, Category int64
	Title, Venue string
	Seats        int
	Price        Money
	Version      int64
}

// Money is an amount in a currency.
type Money struct {
	Cents    int64
	Currency string
}

func toV2(c store.Concert) V2 {
	return V2{c.ID, c.Category, c.Title, c.Venue, c.Seats, Money{c.Cents, "EUR"}, c.Version}
}

func (v V2) view() View {
	return View{v.ID, v.Category, v.Title, v.Venue, v.Seats, v.Price.Cents, v.Price.Currency, v.Version}
}
