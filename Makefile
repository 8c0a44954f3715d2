# make test is all that decides whether a change is good; it needs Go, and gets
# a redis-server where there is none.

modules  := ./... ./bench/... ./examples/...
fuzzruns := 40000
fills    := 1000000

.NOTPARALLEL:
.PHONY: test redis lint unit examples fuzz bench race-fills
test: redis lint unit examples fuzz

redis:
	@scripts/redis-server

lint:
	go vet $(modules)
	@test -z "$$(gofmt -l . | tee /dev/stderr)"
	GOWORK=off go build -C tools -o $(CURDIR)/bin/staticcheck honnef.co/go/tools/cmd/staticcheck
	bin/staticcheck $(modules)

unit:
	go test -race -shuffle=on -timeout 5m $(modules)
	go test -race -v -timeout 5m -run Fill ./internal/racefills

examples:
	go run ./examples/quickstart

# Counted, not timed: a fuzz run that its clock ends can fail for that alone, with
# "context deadline exceeded" (golang/go#75804).
fuzz:
	go test -run '^$$' -fuzz FuzzDecodeRecord -fuzztime $(fuzzruns)x -fuzzminimizetime 5x ./redis

bench: redis
	go test -run '^$$' -bench . -benchtime 3s -timeout 30m ./bench

race-fills: redis
	go test -v -timeout 60m -run Fill ./internal/racefills -args -memory $(fills) -redis $(fills)
