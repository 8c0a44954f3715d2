package nearside_test

import (
	"os"
	"regexp"
	"testing"
)

// TestCIRunsWhatSkipsWithoutItsFlags: the fleets of internal/consistency, the faults of
// internal/chaos, and the mutants, run only if a flag asks for them. CI passes those flags, and
// the commands for the tables and the soak pass theirs.
func TestCIRunsWhatSkipsWithoutItsFlags(t *testing.T) {
	for file, commands := range map[string][]string{
		"Makefile": {
			`(?m)^test: .*\bunit\b.*\bconcert-short\b`,
			`(?m)^unit:\n(\t.*\n)*\tgo test -race .* \./redis$`,
			`(?m)^unit:\n(\t.*\n)*\tgo test .*\./internal/consistency -args -for [1-9]\S* -plain [1-9]`,
			`(?m)^unit:\n(\t.*\n)*\tgo test .*\./internal/chaos -args -brief\b`,
			`(?m)^chaos: .*\n\tgo test .*\./internal/chaos -args -full\b`,
			`(?m)^outage: redis\n\tgo test .*\./internal/chaos -args -outage `,
			`(?m)^soak: redis\n\tgo test .*\./internal/chaos -args -soak `,
			`(?m)^bench-peers: redis\n\tcd bench/peers && .* -run TestSpeed \. -args -speed\b`,
			`(?m)^scale: redis\n\tgo test .*-run TestScale \./bench -args -scale\b`,
			`(?m)^hit-ratios:\n\tcd bench/peers && .* -run TestHitRatios \. -args -hits\b`,
			`(?m)^concert-short: redis\n\tcd examples/concert/system && .* grep -v .*\$\(debian\).*\n\t\t.* go test -race .* grep -v .*\$\(caddy\).*\n\t\t.* go test .* grep -E .*\$\(caddy\).*\n\tgo run \./examples/concert -short$`,
			`(?m)^concert:\n\tscripts/concert-servers\n\tcd examples/concert/system && .* go test .* grep -E .*\$\(debian\).*\n\tcd examples/concert/system && .* go test .* -run TestStartEndsWithItsContext \./servers -args -debian\n\tcd examples/concert/system && .* go test .* -run TestServeEnds \. -args -servers debian\n\tgo run \./examples/concert -servers debian$`,
			`(?m)^concert-pods: redis\n\t@scripts/podman\n\tcd examples/concert/system && .* go test .*-run TestPod \./deploy -args -pods$`,
			`(?m)^concert-page: redis\n\tchromium=.* cd examples/concert/browser && .* \\\n\t\t.* go test .* -chromium "\$\$chromium"`,
			`(?m)^mutants: .*\n\tgo test .*\./internal/mutants -args -mutants\b`,
		},
		".ci/run": {`(?m)^make test$`, `(?m)^exec make mutants$`},
	} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, command := range commands {
			if !regexp.MustCompile(command).Match(text) {
				t.Errorf("%s has no %s", file, command)
			}
		}
	}
}
