package redis

import "testing"

// The user of the URL is for the Sentinels, the parameters are for Redis.
func TestTheUserOfAURLOfSentinelsIsForThem(t *testing.T) {
	o, err := parseFailoverURL("redis://a:b@h:1/2?master_name=m&username=c&password=d&addr=i:3")
	if err != nil {
		t.Fatal(err)
	}
	for what, got := range map[string][2]string{
		"the Sentinels' user": {o.SentinelUsername, "a"}, "their password": {o.SentinelPassword, "b"},
		"the user": {o.Username, "c"}, "the password": {o.Password, "d"}, "the name": {o.MasterName, "m"},
		"a Sentinel": {o.SentinelAddrs[0], "h:1"}, "another Sentinel": {o.SentinelAddrs[1], "i:3"},
	} {
		if got[0] != got[1] {
			t.Errorf("%s is %q, want %q", what, got[0], got[1])
		}
	}
	if o.DB != 2 {
		t.Errorf("the database is %d, want 2", o.DB)
	}
}
