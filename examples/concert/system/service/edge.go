package service

import (
	"hash/fnv"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// edgeHeaders are the headers of an answer for the caches between the service and its users. The
// zero edgeHeaders keep the answer out of these caches.
type edgeHeaders struct {
	tags    []string // of the values in the answer; the tags of nearside, too
	version string   // changes whenever the answer does
}

// edgeSeconds is how long the edge may keep an answer that nobody purges.
const edgeSeconds = "60"

// apply writes the headers. If the client has the answer already, apply answers that it has
// not changed, and returns true.
//
// Browsers ask for each answer again, because nobody can purge them: with an ETag that costs
// no body. A shared cache may keep the answer, because a write purges its tags.
func (e edgeHeaders) apply(w http.ResponseWriter, r *http.Request) bool {
	if e.version == "" {
		w.Header().Set("Cache-Control", "no-store")
		return false
	}
	tag := `"` + e.version + `"`
	w.Header().Set("ETag", tag)
	w.Header().Set("Cache-Control", "public, max-age=0, must-revalidate, s-maxage="+edgeSeconds)
	w.Header().Set("Surrogate-Key", strings.Join(e.tags, " "))
	if !slices.Contains(splitTags(r.Header.Get("If-None-Match")), tag) {
		return false
	}
	w.WriteHeader(http.StatusNotModified)
	return true
}

// splitTags returns the entity tags of an If-None-Match. It compares weakly, as RFC 9110
// section 13.1.2 requires, so the mark of a weak tag is taken off.
func splitTags(header string) []string {
	var tags []string
	for part := range strings.SplitSeq(header, ",") {
		tags = append(tags, strings.TrimPrefix(strings.TrimSpace(part), "W/"))
	}
	return tags
}

// versionOf is one version of several parts.
func versionOf(parts ...int64) string {
	h := fnv.New64a()
	for _, p := range parts {
		_, _ = h.Write(strconv.AppendInt(nil, p, 10))
		_, _ = h.Write([]byte{';'})
	}
	return strconv.FormatUint(h.Sum64(), 36)
}
