# make test is all that decides whether a change is good; it needs Go, and gets
# a redis-server where there is none.

modules  := ./... ./codec/... ./bench/... ./examples/...
fuzzruns := 20000
fills    := 1000000
seeds    := 5000
time     := 60s
timeout  := 10m
runs     := 3
fleet    := # -cluster, -local D, -seed N, -save FILE
rows     := # what make chaos or make bench-peers plays, as a regular expression; all if empty

.NOTPARALLEL:
.PHONY: test redis lint unit examples concert concert-short concert-pods concert-page fuzz bench instructions peers bench-peers hit-ratios scale race-fills sim consistency chaos outage soak mutants steady compat acl
test: redis lint unit examples fuzz concert-short

redis:
	@scripts/redis-server

lint:
	go vet $(modules)
	@unformatted=$$(gofmt -l .); echo "$$unformatted" | sed '/^$$/d'; test -z "$$unformatted"
	GOWORK=off go build -C tools -o $(CURDIR)/bin/staticcheck honnef.co/go/tools/cmd/staticcheck
	bin/staticcheck $(modules)
	cd examples/concert/system && GOWORK=off $(CURDIR)/bin/staticcheck ./...

# ./redis comes by itself: its tests have the most processes, and judge times.
unit:
	packages=$$(go list $(modules)) && \
		go test -race -shuffle=on -parallel 8 -timeout $(timeout) $$(echo "$$packages" | grep -v '/redis$$')
	go test -race -shuffle=on -parallel 8 -timeout $(timeout) ./redis
	go test -v -timeout $(timeout) ./internal/simulation -args -seeds 100
	go test -v -timeout $(timeout) ./internal/consistency -args -for 10s -plain 5s
	GOARCH=386 CGO_ENABLED=0 go test -cpu 1 -timeout $(timeout) ./local ./loader ./cache/... ./codec/...
	go test -v -parallel 8 -timeout $(timeout) ./internal/chaos -args -brief

examples:
	go run ./examples/quickstart

# The booking service of examples/concert: its tests, and a short run of its scenarios, with a
# load balancer, a queue and a database that are Go modules. The packages that import Caddy take
# minutes to compile for the race detector, so their tests run without it.
caddy := system|caddy|deploy|scenario|servers
concert-short: redis
	cd examples/concert/system && GOWORK=off go vet ./... && packages=$$(GOWORK=off go list ./... | grep -v -E '/($(debian))$$') && \
		GOWORK=off go test -race -shuffle=on -timeout $(timeout) $$(echo "$$packages" | grep -v -E '/($(caddy))$$') && \
		GOWORK=off go test -shuffle=on -timeout $(timeout) $$(echo "$$packages" | grep -E '/($(caddy))$$')
	go run ./examples/concert -short
	cd examples/concert/browser && GOWORK=off go vet .

# The same service on the servers that people run, which it installs: the tests of the packages
# that drive these servers, one after the other, and all scenarios.
debian := haproxy|postgres|rabbitmq|sentinel|varnish
concert:
	scripts/concert-servers
	cd examples/concert/system && GOWORK=off go test -shuffle=on -p 1 -timeout $(timeout) $$(GOWORK=off go list ./... | grep -E '/($(debian))$$')
	cd examples/concert/system && GOWORK=off go test -count=1 -timeout $(timeout) -run TestStartEndsWithItsContext ./servers -args -debian
	cd examples/concert/system && GOWORK=off go test -count=1 -timeout $(timeout) -run TestServeEnds . -args -servers debian
	go run ./examples/concert -servers debian
	@if [ "$$(id -u)" = 0 ]; then $(MAKE) concert-pods; else echo "The image and its pod need root: make concert-pods"; fi

# The image of an instance, and its pod, which is killed and comes back.
concert-pods: redis
	@scripts/podman
	cd examples/concert/system && GOWORK=off go test -v -count=1 -timeout $(timeout) -run TestPod ./deploy -args -pods

# The page of its -serve, in a Chromium. A whole run writes a picture: make concert-page png=docs/concert.png
concert-page: redis
	chromium=$$(scripts/chromium) && cd examples/concert/browser && GOWORK=off go vet . && \
		GOWORK=off go test -v -count=1 -timeout 30m . -args -chromium "$$chromium" $(if $(png),-screenshot '$(abspath $(png))')

# Counted, not timed: a fuzz run that its clock ends can fail for that alone, with
# "context deadline exceeded" (golang/go#75804).
fuzz:
	go test -run '^$$' -fuzz FuzzDecodeRecord -fuzztime $(fuzzruns)x -fuzzminimizetime 5x ./redis
	go test -run '^$$' -fuzz FuzzDecodeEntry -fuzztime $(fuzzruns)x -fuzzminimizetime 5x ./redis
	@for codec in cbor compress protobuf; do \
		echo go test -fuzz FuzzDecode ./codec/$$codec; \
		go test -run '^$$' -fuzz FuzzDecode -fuzztime $(fuzzruns)x -fuzzminimizetime 5x ./codec/$$codec || exit 1; \
	done

bench: redis
	go test -run '^$$' -bench . -benchtime 3s -timeout 30m ./bench

# How many instructions a call takes, whatever else the machine does. It needs Debian's valgrind.
instructions: redis
	@scripts/instructions

# The table of the README, measured on nearside and on other libraries in one run.
peers: redis
	cd bench/peers && GOWORK=off go test -v -count=1 -parallel 8 -timeout 30m .

# What calls cost beside other libraries. The run of all of it writes the tables and plots of
# docs/performance.md: make bench-peers rows='Batches|Misses'
bench-peers: redis
	cd bench/peers && GOWORK=off go test -v -count=1 -parallel 8 -timeout 60m -run TestSpeed . -args -speed $(if $(rows),-rows '$(rows)',-docs $(CURDIR)/docs)

# How the work of Redis grows with the fleet, its callers and its keys: the tables of docs/scale.md.
scale: redis
	go test -v -count=1 -timeout 30m -run TestScale ./bench -args -scale -docs $(CURDIR)/docs/scale.md

# The hits of generated traces beside other libraries, for docs/performance.md.
hit-ratios:
	cd bench/peers && GOWORK=off go test -v -count=1 -timeout 30m -run TestHitRatios . -args -hits -docs $(CURDIR)/docs

# Fleets in memory, one for each seed.
sim:
	go test -v -timeout 60m ./internal/simulation -args -seeds $(seeds)

# A fleet of processes on a real Redis, and what breaks it: make consistency time=10m fleet=-cluster
consistency: redis
	go test -v -timeout 60m ./internal/consistency -args -for $(time) -plain 20s $(fleet)

# What a service gets under each fault of Redis. The run of all faults takes 20 minutes, and
# writes the table of docs/reliability.md: make chaos rows='hung|cluster-.*'
chaos: redis
	go test -v -count=1 -timeout 90m ./internal/chaos -args -full $(if $(rows),-rows '$(rows)',-table $(CURDIR)/docs/reliability.md)

# The loads of the source in an outage of Redis, beside those without a cache.
outage: redis
	go test -v -count=1 -timeout 60m ./internal/chaos -args -outage $(time) -table $(CURDIR)/docs/reliability.md

# Random faults for a long time, and whether anything grows: make soak time=2h
soak: time := 30m
soak: redis
	go test -v -count=1 -timeout 48h ./internal/chaos -args -soak $(time)

# Each guard of the protocol is taken out of a copy, and a checker has to notice.
mutants: redis
	go test -v -timeout 60m ./internal/mutants -args -mutants

race-fills: redis
	go test -v -timeout 60m -run Fill ./internal/racefills -args -memory $(fills) -redis $(fills)

# unit again and again, on a machine that is busy: make steady runs=10
steady: redis
	@scripts/steady $(runs)

# The tests of ./redis on Redis 7, Redis 8 and Valkey.
compat: redis
	@scripts/compat

# The tests of ./redis with the permissions that docs/wire.md gives to a Store. The last
# four commands are sent by tests only.
acl: redis
	REDISTEST_RIGHTS="$$(sed -n 's/^    ACL SETUSER nearside on >PASSWORD ~nearside:\* //p' docs/wire.md) +command +cluster|slots +asking +select +client|setname +info +ping +exists +lpush +llen" go test -timeout $(timeout) ./redis
