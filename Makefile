# hioload-ws: build, run and test. `make` alone lists the targets.
#
# Two commands are all a user needs: `make run` and `make test`. Both install what is missing first (scripts/
# install-deps.sh). Everything they build goes to build/, C objects by lane, rebuilt only when a source or header changed.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

ADDR ?= :9001
FUZZ_SECONDS ?= 60
JOBS ?= $(shell nproc 2>/dev/null || echo 2)

LANE := scripts/lane.sh
WITH_GO := scripts/with-go.sh
MAKE_QUIET := $(MAKE) --no-print-directory

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z][a-z0-9-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-20s %s\n", $$1, $$2 }'

# ---------------------------------------------------------------- running

.PHONY: run build
run: build ## install what is missing, build, run the echo server on :9001 (make run ADDR=:8080 for another port)
	@printf '\nEcho server on %s. Try it from another terminal:\n' '$(ADDR)'
	@printf '    npx wscat -c ws://localhost%s\n' '$(suffix-of-addr)'
	@printf '    python3 -m websockets ws://localhost%s      (pip install websockets)\n' '$(suffix-of-addr)'
	@printf 'Ctrl-C ends it.\n\n'
	@exec build/echo -addr '$(ADDR)'

# ":9001" of ":9001" and of "127.0.0.1:9001".
suffix-of-addr = :$(lastword $(subst :, ,$(ADDR)))

build: ## install what is missing, build everything
	@sh scripts/install-deps.sh run
	@$(WITH_GO) go build -buildvcs=false ./...
	@mkdir -p build
	@$(WITH_GO) go build -buildvcs=false -o build/echo ./examples/echo

# ---------------------------------------------------------------- testing

.PHONY: test deps-test test-c test-go sanitize lint stress fuzz numa-test
test: deps-test ## install what tests need, run every test
	@$(LANE) --begin
	@$(LANE) "lint" $(MAKE_QUIET) lint
	@$(LANE) "C, gcc" $(MAKE_QUIET) c-gcc
	@$(LANE) "C, clang" $(MAKE_QUIET) c-clang
	@$(LANE) "C, ASan + UBSan" $(MAKE_QUIET) c-asan
	@$(LANE) "C, TSan" $(MAKE_QUIET) c-tsan
	@$(LANE) "C, valgrind" $(MAKE_QUIET) c-valgrind
	@$(LANE) "C, without liburing and libnuma" $(MAKE_QUIET) c-bare
	@$(LANE) "C, fuzz 5 s each" $(MAKE_QUIET) c-fuzz FUZZ_SECONDS=5
	@$(LANE) "Go" $(MAKE_QUIET) go-plain
	@$(LANE) "Go, race detector" $(MAKE_QUIET) go-race
	@$(LANE) "Go, io_uring" $(MAKE_QUIET) go-uring
	@$(LANE) "Go, io_uring, race detector" $(MAKE_QUIET) go-uring-race
	@$(LANE) "Go, cgocheck2" $(MAKE_QUIET) go-cgocheck
	@$(LANE) "Go, purego" $(MAKE_QUIET) go-purego
	@$(LANE) "Go, without liburing and libnuma" $(MAKE_QUIET) go-bare
	@$(LANE) "Go 1.23" $(MAKE_QUIET) go-oldest
	@$(LANE) "tcpio, nettest" $(MAKE_QUIET) go-nettest
	@$(LANE) "WebSocket codec beside gorilla's" $(MAKE_QUIET) go-differential
	@$(LANE) "other Go libraries" $(MAKE_QUIET) go-clients
	@$(LANE) "end to end, real clients" $(MAKE_QUIET) go-e2e
	@$(LANE) "conformance, fast sections" $(MAKE_QUIET) conformance-fast
	@$(LANE) "machines with NUMA nodes" $(MAKE_QUIET) numa-test
	@$(LANE) --end

deps-test:
	@sh scripts/install-deps.sh test
	@sh scripts/install-clients.sh >/dev/null
	@sh scripts/install-conformance.sh >/dev/null

test-c: c-gcc c-clang sanitize c-bare ## the C tests in every lane
sanitize: c-asan c-tsan c-valgrind ## the C tests under the sanitizers and valgrind
test-go: go-plain go-race go-uring go-uring-race go-cgocheck go-purego go-bare go-oldest ## the Go tests in every lane
test-go: go-nettest go-differential go-clients go-e2e

numa-test: ## C and Go tests in virtual machines with 2 and with 4 NUMA nodes, huge pages and Debian's kernel
	@sh scripts/install-deps.sh test
	@$(MAKE_QUIET) -j$(JOBS) c-gcc-build
	@$(WITH_GO) tests/vm/numa-test.sh build/vm $(NUMA_TESTS:%=build/gcc/%)

lint: ## gofmt, go vet, staticcheck, shellcheck and the rules of the tree
	@$(WITH_GO) scripts/lint.sh

stress: ## long runs of what is random or concurrent: C tests at ten times their size, Go tests ten times with -race
	@HL_TEST_SCALE=10 $(MAKE_QUIET) c-gcc c-tsan
	@$(WITH_GO) go test -timeout 60m -race -count=10 $(GO_PACKAGES)

fuzz: ## each fuzz target, C and Go, for 60 s (make fuzz FUZZ_SECONDS=600 for longer)
	@$(MAKE_QUIET) c-fuzz go-fuzz

# ---------------------------------------------------------------- C lanes
# A lane is a compiler with flags, in build/LANE/. Each test program is linked with the whole core; those of the fault
# layer (tests/c/fault.h) also with that layer, to which the linker sends their system calls.

C_FLAGS := -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -g -fno-omit-frame-pointer -Icsrc/include -Icsrc -pthread
C_SOURCES := $(wildcard csrc/*.c)
C_HEADERS := $(wildcard csrc/include/*.h)
# The longest first: no processor waits for them at a lane's end.
C_LONGEST := test_ws_inflate test_faults_deflate test_faults_birth test_ws_decode
C_TESTS := $(C_LONGEST) $(filter-out $(C_LONGEST),$(patsubst tests/c/%.c,%,$(wildcard tests/c/test_*.c)))
C_FAULTS := $(patsubst tests/c/%.c,%,$(wildcard tests/c/fault*.c))
C_FUZZERS := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))

CC_gcc := gcc -O2
CC_clang := clang -O2
CC_asan := clang -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -DHL_POISON
CC_tsan := clang -O1 -fsanitize=thread
CC_valgrind := gcc -O1 -DHL_POISON
CC_fuzz := clang -O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
CC_bare := gcc -O1 -DHL_NO_URING -DHL_NO_NUMA
C_LANES := gcc clang asan tsan valgrind bare

C_LIBRARIES := -luring -lnuma -lz
LIBRARIES_bare := -lz
# What is about memory, threads or the kernel.
NUMA_TESTS := $(filter test_slab% test_cache test_stack test_numa% test_loop_%,$(C_TESTS))
TESTS_bare := $(filter-out test_faults_% test_numa% test_loop_uring,$(NUMA_TESTS))
# A sweep that compresses something at each of hundreds of faults is a matter of minutes there; ASan sees to it.
TESTS_valgrind := $(filter-out test_faults_deflate,$(C_TESTS))

# ThreadSanitizer's shadow memory wants addresses that are not spread too far; setarch -R turns that off where it may.
NO_ASLR := $(shell setarch -R true 2>/dev/null && echo setarch -R)

WRAP_asan := env ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1 UBSAN_OPTIONS=print_stacktrace=1
WRAP_tsan := $(NO_ASLR) env TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1
WRAP_valgrind := valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite,indirect --fair-sched=yes

# Valgrind plays the limit of descriptors by itself, which a ring that accepts knows nothing of.
BACKENDS_valgrind := epoll
BACKENDS_bare := epoll

# c_lane LANE: the rules of one lane. TESTS_LANE are its tests, LIBRARIES_LANE what they are linked with, BACKENDS_LANE
# those of the loop's backends that it runs on.
define c_lane
$(eval tests := $(or $(TESTS_$(1)),$(C_TESTS)))
$(eval core := $(C_SOURCES:csrc/%.c=build/$(1)/%.o))
build/$(1)/%.o: csrc/%.c | build/$(1)
	@$$(CC_$(1)) $$(C_FLAGS) -MMD -MP -c $$< -o $$@
build/$(1)/%.o: tests/c/%.c | build/$(1)
	@$$(CC_$(1)) $$(C_FLAGS) -MMD -MP -c $$< -o $$@
build/$(1)/test_%: build/$(1)/test_%.o $(core)
	@$$(CC_$(1)) -pthread $$^ -lcmocka $(or $(LIBRARIES_$(1)),$(C_LIBRARIES)) -o $$@
build/$(1)/test_faults_%: build/$(1)/test_faults_%.o $(C_FAULTS:%=build/$(1)/%.o) $(core) tests/c/fault.wrap
	@$$(CC_$(1)) -pthread $$(filter %.o,$$^) -Wl,@tests/c/fault.wrap -lcmocka $(C_LIBRARIES) -o $$@
build/$(1)/has_io_uring: build/$(1)/has_io_uring.o $(core)
	@$$(CC_$(1)) -pthread $$^ $(or $(LIBRARIES_$(1)),$(C_LIBRARIES)) -o $$@
build/$(1):
	@mkdir -p $$@
.PHONY: c-$(1) c-$(1)-build
c-$(1)-build: $(tests:%=build/$(1)/%) build/$(1)/has_io_uring
c-$(1):
	@$$(MAKE_QUIET) -j$(JOBS) c-$(1)-build
	@WRAP='$$(WRAP_$(1))' BACKENDS='$$(BACKENDS_$(1))' scripts/run-c-tests.sh $(tests:%=build/$(1)/%)
.SECONDARY: $(tests:%=build/$(1)/%.o) $(core) $(C_FAULTS:%=build/$(1)/%.o)
-include $(wildcard build/$(1)/*.d)
endef
$(foreach lane,$(C_LANES),$(eval $(call c_lane,$(lane))))

# The fault layer's tests alone, and which faults they survived.
.PHONY: c-faults
c-faults: ## make each system call and allocation of the core fail, at each place in turn
	@$(MAKE_QUIET) c-gcc c-asan C_TESTS='$(filter test_faults_%,$(C_TESTS))'
	@grep -h '^fault  ' build/gcc/test_faults_*.log

# Fuzz targets: tests/fuzz/fuzz_NAME.c with seeds in tests/fuzz/corpus/NAME. What a run finds new stays in build/fuzz/.
build/fuzz:
	@mkdir -p $@
build/fuzz/%.o: csrc/%.c | build/fuzz
	@$(CC_fuzz) $(C_FLAGS) -MMD -MP -c $< -o $@
build/fuzz/%.o: tests/fuzz/%.c | build/fuzz
	@$(CC_fuzz) $(C_FLAGS) -MMD -MP -c $< -o $@
build/fuzz/fuzz_%: build/fuzz/fuzz_%.o $(C_SOURCES:csrc/%.c=build/fuzz/%.o)
	@$(CC_fuzz) -fsanitize=fuzzer -pthread $^ $(C_LIBRARIES) -o $@
.SECONDARY: $(C_FUZZERS:%=build/fuzz/%.o) $(C_SOURCES:csrc/%.c=build/fuzz/%.o)
-include $(wildcard build/fuzz/*.d)

.PHONY: c-fuzz c-fuzz-build
c-fuzz-build: $(C_FUZZERS:%=build/fuzz/%)
c-fuzz:
	@$(MAKE_QUIET) -j$(JOBS) c-fuzz-build
	@scripts/run-c-fuzzers.sh $(FUZZ_SECONDS) $(C_FUZZERS:%=build/fuzz/%)

# ---------------------------------------------------------------- Go lanes

GO_TEST := go test -timeout 10m
# What has no build of its own worth another lane: the end-to-end tests start programs, those of scripts/ the shell.
GO_PACKAGES = $$($(WITH_GO) go list ./... | grep -v /tests/)
# The same without the examples, each of which is a program to build: they run in the plain lanes, on both backends.
LIBRARY_PACKAGES = $$($(WITH_GO) go list ./... | grep -v -e /tests/ -e /examples/)

ARM64_PACKAGES := ./api/ ./csrc/ ./internal/gid/ ./internal/loop/ ./protocol/ ./server/

# What has a loop in it.
LOOP_PACKAGES := ./adapters/ ./client/ ./csrc/ ./examples/... ./internal/bridge/ ./internal/loop/ ./protocol/ ./reactor/ ./server/ ./tcpio/

.PHONY: go-plain go-race go-uring go-uring-race go-cgocheck go-purego go-bare go-oldest go-nettest go-differential \
	go-clients go-e2e go-fuzz test-arm64
go-plain:
	@$(WITH_GO) $(GO_TEST) $(GO_PACKAGES)
go-race:
	@$(WITH_GO) $(GO_TEST) -race $(LIBRARY_PACKAGES)
# on_uring COMMAND: runs it where loops get io_uring; elsewhere says so.
on_uring = if why=$$(build/gcc/has_io_uring); then HIOLOAD_BACKEND=io_uring $(1); \
	else $(LANE) --skipped "Go tests on io_uring, which is not to be had: $$why"; fi
go-uring: build/gcc/has_io_uring
	@$(call on_uring,$(WITH_GO) $(GO_TEST) $(LOOP_PACKAGES))
go-uring-race: build/gcc/has_io_uring
	@$(call on_uring,$(WITH_GO) $(GO_TEST) -race $(filter-out ./examples/...,$(LOOP_PACKAGES)))
go-bare: # built with neither library, and so on epoll, on one node, whatever is asked for
	@$(WITH_GO) go vet -tags nouring,nonuma ./...
	@$(WITH_GO) $(GO_TEST) -tags nouring,nonuma $(filter-out ./examples/...,$(LOOP_PACKAGES)) ./internal/numa/
go-cgocheck:
	@GOEXPERIMENT=cgocheck2 $(WITH_GO) $(GO_TEST) $(LIBRARY_PACKAGES)
go-purego:
	@$(WITH_GO) $(GO_TEST) -tags purego ./internal/gid/ ./internal/loop/ ./reactor/ ./tcpio/
go-oldest: # the oldest Go that go.mod allows: another language version, another cgo, other build tags
	@GOTOOLCHAIN=go1.23.0 $(WITH_GO) go vet ./...
	@GOTOOLCHAIN=go1.23.0 $(WITH_GO) $(GO_TEST) $(LIBRARY_PACKAGES)
NETTEST := go test -C tests/nettest -timeout 10m -race -count=1 ./...
go-nettest: build/gcc/has_io_uring # what package net demands of a net.Conn; a module of its own
	@$(WITH_GO) go vet -C tests/nettest ./...
	@$(WITH_GO) $(NETTEST)
	@$(call on_uring,$(WITH_GO) $(NETTEST))
DIFFERENTIAL := go test -C tests/differential -timeout 10m -count=1 ./...
go-differential: build/gcc/has_io_uring # the same bytes to our server and to gorilla/websocket's; a module of its own
	@$(WITH_GO) go vet -C tests/differential ./...
	@$(WITH_GO) $(DIFFERENTIAL)
	@$(call on_uring,$(WITH_GO) $(DIFFERENTIAL))
CLIENTS := go test -C tests/clients -timeout 10m -race -count=1 ./...
go-clients: build/gcc/has_io_uring # gorilla, coder and gws as clients and as servers; a module of its own
	@$(WITH_GO) go vet -C tests/clients ./...
	@$(WITH_GO) $(CLIENTS)
	@$(call on_uring,$(WITH_GO) $(CLIENTS))
go-e2e: deps-test
	@command -v chromium >/dev/null || $(LANE) --skipped "tests in a browser: there is no chromium here"
	@HIOLOAD_CLIENTS=$$(sh scripts/install-clients.sh) $(WITH_GO) $(GO_TEST) -count=1 ./tests/...
test-arm64: ## the Go tests as arm64 programs, under emulation (a subset: what doesn't measure time)
	@sh scripts/install-deps.sh arm64
	@GOARCH=arm64 CGO_ENABLED=1 CC=aarch64-linux-gnu-gcc $(WITH_GO) $(GO_TEST) \
		-tags nouring,nonuma -exec 'qemu-aarch64 -L /usr/aarch64-linux-gnu' $(ARM64_PACKAGES)

# The public conformance suite: the whole of it takes wstest 10 minutes, ENGINE=kosoku 4.
.PHONY: conformance conformance-fast conformance-setup
conformance: conformance-setup ## the public WebSocket conformance suite, all 517 cases, on epoll and on io_uring
	@$(MAKE_QUIET) -j$(JOBS) conformance-all-epoll conformance-all-io_uring
conformance-fast: conformance-setup # without sections 9 (large messages), 12 and 13 (compression)
	@$(MAKE_QUIET) -j$(JOBS) conformance-fast-epoll conformance-fast-io_uring
conformance-setup: build/gcc/has_io_uring
	@sh scripts/install-conformance.sh $(ENGINE) >/dev/null
	@$(WITH_GO) go build -buildvcs=false -o build/conformance/echo ./tests/conformance/echo
CONFORMANCE = tests/conformance/run.sh "$$(sh scripts/install-conformance.sh $(ENGINE))"
conformance-%-epoll:
	@$(CONFORMANCE) $* epoll
conformance-%-io_uring:
	@if why=$$(build/gcc/has_io_uring); then $(CONFORMANCE) $* io_uring; \
	else $(LANE) --skipped "conformance on io_uring, which is not to be had: $$why"; fi

go-fuzz:
	@$(WITH_GO) scripts/run-go-fuzzers.sh $(FUZZ_SECONDS)

# ---------------------------------------------------------------- measuring

.PHONY: bench bench-quick bench-check microbench
bench: ## side by side with what one would use instead, about seventy minutes; writes docs/benchmarks.md
	@sh scripts/install-deps.sh bench
	@$(WITH_GO) $(MAKE_QUIET) -C bench bench
bench-quick: ## the same in under five minutes, once it is built: fewer cases, shorter runs
	@sh scripts/install-deps.sh bench
	@$(WITH_GO) $(MAKE_QUIET) -C bench bench-quick
bench-check: ## tests of the benchmarks' load generator and report, and of all servers in them
	@sh scripts/install-deps.sh bench
	@$(WITH_GO) $(MAKE_QUIET) -C bench check
microbench: ## what the core's parts cost, beside malloc, memcpy, Concurrency Kit's rings and Go's channels
	@sh scripts/install-deps.sh micro
	@$(MAKE_QUIET) -j$(JOBS) build/micro/micro
	@cd bench && ../$(WITH_GO) go build -o ../build/micro/ ./micro/crossings
	@build/micro/micro
	@build/micro/crossings

MICRO_OBJECTS := $(patsubst %.c,build/micro/%.o,$(wildcard bench/micro/*.c) $(C_SOURCES))
build/micro/%.o: %.c
	@mkdir -p $(@D)
	@gcc -O2 $(C_FLAGS) -MMD -MP -c $< -o $@
build/micro/micro: $(MICRO_OBJECTS)
	@gcc -pthread $^ -lck $(C_LIBRARIES) -o $@
-include $(MICRO_OBJECTS:.o=.d)

.PHONY: clean
clean: ## remove build/
	@rm -rf build
