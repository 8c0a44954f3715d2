package redis

import (
	"testing"
	"time"

	"github.com/nearside-go/nearside/cache/remote"
	"github.com/nearside-go/nearside/internal/redistest"
)

// unbanned puts a record at hugeKey for a while, runs the script, and returns its reply,
// and what stands then and for how long.
func unbanned(t *testing.T, s *Store, record string, token remote.Token, hold int64) (reply int64, stands string, left time.Duration) {
	t.Helper()
	const ttl = time.Minute
	if err := s.client.Set(t.Context(), hugeKey, record, ttl).Err(); err != nil {
		t.Fatal(err)
	}
	reply, err := s.evalInt(t.Context(), unguardScript, hugeKey, token[:], hold)
	if err != nil {
		t.Fatal(err)
	}
	return reply, s.client.Get(t.Context(), hugeKey).Val(), s.client.PTTL(t.Context(), hugeKey).Val()
}

func TestOnlyTheBanIsTakenOff(t *testing.T) {
	t.Parallel()
	s := openPatient(t, redistest.Start(t))
	const a, b, c = "sixteen byte (a)", "sixteen byte (b)", "sixteen byte (c)"
	token := remote.Token([]byte(b))
	for _, hold := range []int64{0, 1000, 3_600_000} {
		for what, record := range map[string]string{
			"a value":                        string(someValue()),
			"a lease":                        string(newLease()),
			"a HoldOff":                      "T\x02\x00",
			"another's guard":                "T\x02\x01" + a,
			"others' guards":                 "T\x02\x02" + a + c,
			"a tombstone of another version": "T\x03\x01" + b,
			"a short one":                    "T\x02\x02" + b,
			"a long one":                     "T\x02\x01" + b + a,
			"bytes":                          b,
			"a tag":                          "P\x021-1",
		} {
			reply, stands, left := unbanned(t, s, record, token, hold)
			if reply != 0 || stands != record || left < 50*time.Second {
				t.Errorf("%s: reply %d, then there is %q for %v", what, reply, stands, left)
			}
		}
		for what, records := range map[string][2]string{
			"with one other":  {"T\x02\x02" + b + a, "T\x02\x01" + a},
			"with two others": {"T\x02\x03" + a + b + c, "T\x02\x02" + a + c},
			"twice":           {"T\x02\x03" + b + a + b, "T\x02\x01" + a},
		} {
			reply, stands, left := unbanned(t, s, records[0], token, hold)
			if reply != 1 || stands != records[1] || left < 50*time.Second {
				t.Errorf("%s: reply %d, then there is %q for %v", what, reply, stands, left)
			}
		}
	}
	for hold, most := range map[int64]time.Duration{1000: time.Second, 3_600_000: time.Minute} {
		reply, stands, left := unbanned(t, s, "T\x02\x01"+b, token, hold)
		if reply != 1 || stands != "T\x02\x00" || left > most || left < most/2 {
			t.Errorf("with a HoldOff of %d ms: reply %d, then there is %q for %v", hold, reply, stands, left)
		}
	}
	if reply, stands, _ := unbanned(t, s, "T\x02\x01"+b, token, 0); reply != 1 || stands != "" {
		t.Errorf("without a HoldOff: reply %d, then there is %q", reply, stands)
	}
	if err := s.client.Del(t.Context(), hugeKey).Err(); err != nil {
		t.Fatal(err)
	}
	s.client.LPush(t.Context(), hugeKey, b)
	if n, err := s.evalInt(t.Context(), unguardScript, hugeKey, token[:], 0); n != 0 || err != nil || s.client.LLen(t.Context(), hugeKey).Val() != 1 {
		t.Errorf("a list: %d, %v", n, err)
	}
}

// Of guards whose Unguard never comes only some are remembered, and of a guard every batch is.
func TestFewLateBansAreRemembered(t *testing.T) {
	var l lateGuards
	token := func(i int) remote.Token { return remote.Token{byte(i), byte(i >> 8)} }
	for i := range 10 * maxLateGuards {
		l.note(token(i), []string{"k"})
		if n := len(l.noted); n > maxLateGuards {
			t.Fatalf("%d are remembered", n)
		}
	}
	l.note(token(1), []string{"k"})
	l.note(token(1), []string{"l"})
	if taken := l.take(token(1)); len(taken) != 2 || taken[0].keys[0] != "k" || taken[1].keys[0] != "l" {
		t.Errorf("taken: %v", taken)
	}
	if taken := l.take(token(1)); taken != nil || len(l.noted) != maxLateGuards-2 {
		t.Errorf("taken again: %v; %d are left", taken, len(l.noted))
	}
}
