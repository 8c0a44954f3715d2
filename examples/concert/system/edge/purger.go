// Package edge has purgers for a cache at the edge, such as a CDN, and a stand-in for such a
// cache. Packages caddy and varnish are real ones.
package edge

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
)

// Server is a cache at the edge, in front of an origin. It is safe for concurrent use.
type Server interface {
	URL() string

	// Counts returns how many requests the Server has answered by itself, and how many it has
	// asked the origin for.
	Counts(ctx context.Context) (hits, misses int, err error)

	Close() error
}

// Purger removes answers from the edge. A purge of an answer that is not there is no error.
type Purger interface {
	// Purge removes the answers that carry one of tags.
	Purge(ctx context.Context, tags ...string) error
}

// Keys is a Purger for an edge that knows the tags of its answers from their header
// Surrogate-Key, as Fastly does, and Varnish with its module xkey.
type Keys struct {
	URL string // receives a request with the method PURGE
}

// Purge removes the answers that carry one of tags.
func (k Keys) Purge(ctx context.Context, tags ...string) error {
	return byTag(ctx, "PURGE", k.URL, tags)
}

func byTag(ctx context.Context, method, url string, tags []string) error {
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return err
	}
	req.Header.Set(tagHeader, strings.Join(tags, " "))
	return send(nil, req)
}

const tagHeader = "Surrogate-Key"

// Bans is a Purger for an edge with a list of banned answers, such as Varnish. The edge
// compares each answer that it has with all bans that are younger, when the answer is asked for.
type Bans struct {
	URL string // receives a request with the method BAN
}

// Purge removes the answers that carry one of tags.
func (b Bans) Purge(ctx context.Context, tags ...string) error {
	return byTag(ctx, "BAN", b.URL, tags)
}

// CloudFront is a Purger for an edge that knows paths only. It speaks the API of CloudFront,
// CreateInvalidation of version 2020-05-31. A client for CloudFront itself signs the requests
// besides: give it a Client that does.
type CloudFront struct {
	URL          string
	Distribution string
	Paths        func(tag string) []string // of the answers that carry a tag; a * at the end is any rest
	Client       *http.Client              // nil is http.DefaultClient
}

// invalidationBatch is the body of CreateInvalidation.
type invalidationBatch struct {
	XMLName         xml.Name `xml:"http://cloudfront.amazonaws.com/doc/2020-05-31/ InvalidationBatch"`
	Quantity        int      `xml:"Paths>Quantity"`
	Paths           []string `xml:"Paths>Items>Path"`
	CallerReference string   `xml:"CallerReference"` // another one for each request
}

// Purge removes the answers of the paths of tags.
func (c CloudFront) Purge(ctx context.Context, tags ...string) error {
	batch := invalidationBatch{CallerReference: rand.Text()}
	for _, tag := range tags {
		batch.Paths = append(batch.Paths, c.Paths(tag)...)
	}
	slices.Sort(batch.Paths)
	batch.Paths = slices.Compact(batch.Paths)
	batch.Quantity = len(batch.Paths)
	body, err := xml.Marshal(batch)
	if err != nil {
		return err
	}
	url := c.URL + "/2020-05-31/distribution/" + c.Distribution + "/invalidation"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/xml")
	return send(c.Client, req)
}

func send(client *http.Client, req *http.Request) error {
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("purge the edge: %w", err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("purge the edge: %s: %s", resp.Status, bytes.TrimSpace(text))
	}
	return nil
}
