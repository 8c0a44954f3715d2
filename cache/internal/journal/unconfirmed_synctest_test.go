package journal_test

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/cache/internal/journal"
)

const maxAge = time.Minute

// want wants names to be unconfirmed, and others not to be.
func want(t *testing.T, u *journal.Unconfirmed, names ...string) {
	t.Helper()
	for _, name := range names {
		if !u.Has(name) {
			t.Errorf("%q is not unconfirmed", name)
		}
	}
	if u.Has("another") {
		t.Error("a name that was never added is unconfirmed")
	}
	if n, all := u.Count(); n != len(names) || all {
		t.Errorf("Count is %d, %v; want %d", n, all, len(names))
	}
}

func TestANameLeavesWhenItIsConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var u journal.Unconfirmed
		want(t, &u)
		u.Add([]string{"a", "b"}, maxAge)
		want(t, &u, "a", "b")
		u.Confirm([]string{"a"}, u.Round())
		want(t, &u, "b")
		time.Sleep(maxAge - 1)
		want(t, &u, "b")
		time.Sleep(time.Nanosecond)
		want(t, &u)
	})
}

// A confirmation by a command that was sent before the name was added.
func TestALateConfirmationLeavesANewerName(t *testing.T) {
	var u journal.Unconfirmed
	u.Add([]string{"a"}, maxAge)
	round := u.Round()
	u.Add([]string{"a"}, maxAge)
	u.Confirm([]string{"a"}, round)
	want(t, &u, "a")
	u.Confirm([]string{"a"}, u.Round())
	want(t, &u)
}

func TestTooManyNamesAreAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var u journal.Unconfirmed
		names := make([]string, 10_001)
		for i := range names {
			names[i] = strconv.Itoa(i)
		}
		before := u.Round()
		if u.Add(names[:10_000], maxAge) || u.HasAll() {
			t.Error("10,000 names are too many")
		}
		if !u.Add(names[10_000:], maxAge) || !u.HasAll() || !u.Has("another") {
			t.Error("10,001 names are not too many")
		}
		u.ConfirmAll(before)
		if !u.Has("another") {
			t.Error("an invalidation that was sent before confirms all")
		}
		u.ConfirmAll(u.Round())
		if u.Has("another") || u.HasAll() {
			t.Error("names stay unconfirmed after all were confirmed")
		}
		u.Add(names, maxAge)
		time.Sleep(maxAge)
		if u.Has("another") {
			t.Error("names stay unconfirmed after their time")
		}
	})
}

// An attempt that failed is followed by a pause, which doubles up to 5 seconds.
func TestRetriesPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r journal.Retries
		pause := 100 * time.Millisecond
		for range 10 {
			if !r.Claim("a") || r.Claim("a") || r.Count() != 1 {
				t.Fatal("an attempt that is due is made once")
			}
			r.Done("a", false)
			time.Sleep(pause/2 - 1)
			if r.Claim("a") {
				t.Fatalf("an attempt is made within half of a pause of %v", pause)
			}
			time.Sleep(pause/2 + 1)
			pause = min(2*pause, 5*time.Second)
		}
		if !r.Claim("a") {
			t.Fatal("no attempt is made after the pause")
		}
		r.Done("a", true)
		if !r.Claim("a") {
			t.Error("an attempt that succeeded is followed by a pause")
		}
		r.Done("a", true)
	})
}

func TestRetriesAreBounded(t *testing.T) {
	var r journal.Retries
	claimed := 0
	for i := range 100 {
		if r.Claim(strconv.Itoa(i)) {
			claimed++
		}
	}
	if claimed != 16 || r.Count() != 16 {
		t.Errorf("%d attempts run, want 16", claimed)
	}
}
