# SPDX-License-Identifier: MIT
# gpudom: make, make test, make demo, make xen-demo; `make help` lists all.

# Capability sets that can be left out: then neither their code nor its libraries are in the binary.
# Of venus, drm and cross-domain there is no code yet.
WITH_VIRGL ?= 1
ifeq ($(filter 0 1,$(WITH_VIRGL)),)
$(error WITH_VIRGL is 0 or 1)
endif
# gpudom-seat, for driver domains that have a screen or a keyboard.
WITH_SEAT ?= 1
ifeq ($(filter 0 1,$(WITH_SEAT)),)
$(error WITH_SEAT is 0 or 1)
endif
without := $(if $(filter 0,$(WITH_VIRGL)),-no-virgl)$(if $(filter 0,$(WITH_SEAT)),-no-seat)

BUILD ?= build/release$(without)
PREFIX ?= /usr/local
LIBEXECDIR ?= $(PREFIX)/libexec
MANDIR ?= $(PREFIX)/share/man
DOCDIR ?= $(PREFIX)/share/doc/gpudom
SYSCONFDIR ?= /etc
UNITDIR ?= $(PREFIX)/lib/systemd/system
SYSUSERSDIR ?= $(PREFIX)/lib/sysusers.d
TMPFILESDIR ?= $(PREFIX)/lib/tmpfiles.d
# Not below /usr/local: udev does not look there.
UDEVRULESDIR ?= $(if $(filter /usr,$(PREFIX)),$(PREFIX)/lib,$(SYSCONFDIR))/udev/rules.d
BASHCOMPDIR ?= $(PREFIX)/share/bash-completion/completions
ZSHCOMPDIR ?= $(PREFIX)/share/zsh/site-functions
PKG_CONFIG ?= pkg-config
CLANG ?= clang
INSTALL ?= install

comma := ,

# make V=1 shows the commands.
Q := $(if $(V),,@)
say = $(if $(V),,@echo '  $(1)  $@')

PROGRAMS := gpudom-worker gpudomd gpudom-keeper gpudomctl gpudom-bench
main-gpudom-worker := tools/gpudom_worker.c
main-gpudomd := xen/gpudomd.c
main-gpudom-keeper := tools/gpudom_keeper.c
main-gpudomctl := tools/gpudomctl.c
main-gpudom-bench := tools/gpudom_bench.c
ifeq ($(WITH_SEAT),1)
PROGRAMS += gpudom-seat
main-gpudom-seat := tools/gpudom_seat.c
endif
# Programs whose source is in the tree.
PROGRAMS := $(foreach p,$(PROGRAMS),$(if $(wildcard $(main-$(p))),$(p)))

pkgs := libsystemd libseccomp libpng inih json-c libdrm
pkgs += $(if $(filter 1,$(WITH_VIRGL)),epoxy egl gbm virglrenderer)
# Into gpudom-seat and tests alone: "as needed" would not keep libwayland out of the others.
seat_pkgs := $(if $(filter 1,$(WITH_SEAT)),libinput libudev libseat pixman-1 wayland-client xkbcommon)
# Of a test alone
seat_pkgs += $(if $(filter 1,$(WITH_SEAT)),wayland-server)
pkgs += xenstore xendevicemodel xenforeignmemory xenevtchn xentoolcore
# A newcomer's commands install what is missing.
ifneq ($(filter demo xen-demo test system-test seat-test bench bench-qemu,$(MAKECMDGOALS)),)
ifeq ($(MAKELEVEL),0)
ifneq ($(shell .ci/install >&2 || echo failed),)
$(error .ci/install failed (see above): it needs root or sudo)
endif
endif
endif
ifneq ($(MAKECMDGOALS),clean)
ifneq ($(MAKECMDGOALS),help)
pkg_cflags := $(shell $(PKG_CONFIG) --cflags $(pkgs) $(seat_pkgs) || echo -DMISSING_PACKAGES)
pkg_libs := $(shell $(PKG_CONFIG) --libs $(pkgs)) -lm
seat_libs := $(if $(strip $(seat_pkgs)),$(shell $(PKG_CONFIG) --libs $(seat_pkgs)))
ifneq ($(findstring MISSING_PACKAGES,$(pkg_cflags)),)
$(error Libraries are missing (see above): sudo .ci/install installs them)
endif
endif
endif

warnings := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
	-Wwrite-strings -Wvla -Wundef -Wformat=2 -Wno-unused-parameter $(if $(WERROR),-Werror)
hardening := -fstack-protector-strong -fstack-clash-protection -fPIE \
	$(if $(SANITIZE)$(FUZZ),,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
CFLAGS ?= -O2 -g
# -iquote, not -I: xen/gntdev.h is ours, <xen/gntdev.h> is the kernel's.
override CPPFLAGS += -iquote . -D_GNU_SOURCE -D__XEN_TOOLS__ -DVIRGL_RENDERER_UNSTABLE_APIS
# Static tracepoints: 0, 1, or by default where systemtap's <sys/sdt.h> is there
override CPPFLAGS += $(addprefix -DWITH_USDT=,$(WITH_USDT))
override CPPFLAGS += -DWITH_VIRGL=$(WITH_VIRGL) -DWITH_SEAT=$(WITH_SEAT)
override CFLAGS += -std=gnu11 $(warnings) $(hardening) $(pkg_cflags)
override LDFLAGS += -pie -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--as-needed
ifdef SANITIZE
override CFLAGS += -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
override LDFLAGS += -fsanitize=address,undefined
endif
ifdef FUZZ
override CFLAGS += -O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
override LDFLAGS += -fsanitize=address,undefined
endif

mains := $(foreach p,$(PROGRAMS),$(main-$(p)))
lib_sources := $(filter-out $(mains),$(wildcard backend/*.c render/*.c xen/*.c tools/*.c))
ifeq ($(WITH_VIRGL),0)
lib_sources := $(filter-out render/virgl%.c render/egl.c render/fence_queue.c,$(lib_sources))
endif
ifeq ($(WITH_SEAT),0)
lib_sources := $(filter-out render/seat%.c render/kms%.c render/wayland%.c,$(lib_sources))
endif
loopback_sources := $(wildcard tests/loopback/*.c)
unit_tests := $(patsubst tests/%.c,%,$(wildcard tests/unit/*_test.c))
# With the worker as it is built for use
release_tests := device/sandbox_test
# ... and with sanitizers, which the sandbox does not get on with
both_tests := device/trace_test device/input_test
device_tests := $(filter-out $(release_tests),$(patsubst tests/%.c,%,$(wildcard tests/device/*_test.c)))
ifeq ($(WITH_SEAT),0)
device_tests := $(filter-out device/seat_test,$(device_tests))
endif
xen_tests := $(patsubst tests/%.c,%,$(wildcard tests/xen/*_test.c))
# The longest first, as tests/run.sh runs several at a time
tests := $(xen_tests) $(device_tests) $(unit_tests)
# These say how fast something is
alone_tests := device/virgl_test
fuzzers := $(patsubst tests/%.c,%,$(wildcard tests/fuzz/*_fuzz.c))
objects = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
LIB := $(BUILD)/libgpudom.a
LOOPBACK := $(BUILD)/libloopback.a

all: $(PROGRAMS)

# Convenience names: `make gpudomd`.
$(PROGRAMS): %: $(BUILD)/%
.PHONY: all $(PROGRAMS)

.SECONDEXPANSION:
$(addprefix $(BUILD)/,$(PROGRAMS)): $(BUILD)/%: $$(call objects,$$(main-%)) \
		$(if $(loopback_sources),$(LOOPBACK)) $(LIB)
	$(call say,LD)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ -Wl,--start-group $^ -Wl,--end-group $(pkg_libs) \
		$(if $(filter gpudom-seat,$*),$(seat_libs)) -lpthread

# The worker as a guest would have it that has taken it over (tests/compromised/compromised.h): the
# same objects, with functions in front of some. Never installed.
compromised_sources := $(wildcard tests/compromised/*.c)
compromised_wraps := worker_options_parse worker_monitor_start worker_sandbox_seal soft_create \
	$(if $(filter 1,$(WITH_VIRGL)),virgl_create)
compromised: $(BUILD)/gpudom-worker-compromised
$(BUILD)/gpudom-worker-compromised: $(call objects,$(main-gpudom-worker) $(compromised_sources)) $(LIB)
	$(call say,LD)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(addprefix -Wl$(comma)--wrap=,$(compromised_wraps)) \
		-Wl,--start-group $^ -Wl,--end-group $(pkg_libs) -lpthread
.PHONY: compromised

$(LIB): $(call objects,$(lib_sources)) \
		$(if $(filter 1,$(WITH_SEAT)),$(BUILD)/obj/protocol/xdg-shell.o)
	@rm -f $@
	$(call say,AR)
	$(Q)$(AR) rcs $@ $^

$(LOOPBACK): $(call objects,$(loopback_sources))
	@rm -f $@
	$(call say,AR)
	$(Q)$(AR) rcs $@ $^

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# Wayland's protocols, as code
protocols := $(firstword $(wildcard $(shell $(PKG_CONFIG) --variable=pkgdatadir wayland-protocols \
	2>/dev/null) /usr/share/wayland-protocols))
protocol-xdg-shell := $(protocols)/stable/xdg-shell/xdg-shell.xml
override CPPFLAGS += -iquote $(BUILD)/protocol
$(BUILD)/protocol/%-client.h: ; $(call scan,client-header,$*)
$(BUILD)/protocol/%-server.h: ; $(call scan,server-header,$*)
$(BUILD)/protocol/%.c: ; $(call scan,private-code,$*)
define scan
	@mkdir -p $(@D)
	$(call say,GEN)
	$(Q)wayland-scanner $(1) $(protocol-$(2)) $@
endef
$(BUILD)/obj/protocol/%.o: $(BUILD)/protocol/%.c
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<
$(call objects,$(wildcard render/wayland*.c tests/unit/wayland*.c tests/unit/fake_desktop.c)): \
	| $(BUILD)/protocol/xdg-shell-client.h $(BUILD)/protocol/xdg-shell-server.h
.PRECIOUS: $(BUILD)/protocol/%.c $(BUILD)/protocol/%-client.h $(BUILD)/protocol/%-server.h

# Pixels are converted in loops that only -O3 vectorises everywhere.
$(BUILD)/obj/render/pixel.o: override CFLAGS += $(if $(SANITIZE)$(FUZZ),,-O3)

# Objects that stand in for some of the library's in a test: they come first.
fakes-unit/wayland_test := tests/unit/fake_desktop.c
fakes-xen/memory_grant_test := tests/xen/fake_gntdev.c
fakes-xen/grant_broker_test := tests/xen/fake_gntdev.c
fakes-xen/grant_bench := tests/xen/fake_gntdev.c
fakes-xen/grant_stress_test := tests/xen/fake_gntdev.c
fakes-xen/memory_foreign_test := $(addprefix tests/xen/fake_,gntdev.c foreign.c)
fakes-xen/memory_kinds_test := $(fakes-xen/memory_foreign_test)
fakes-xen/frontend_adopt_test := $(fakes-xen/memory_foreign_test)
fakes-xen/frontend_test := $(fakes-xen/memory_foreign_test)
fakes-xen/calls_test := $(fakes-xen/memory_foreign_test)
fake_xen := $(addprefix tests/xen/fake_,gntdev.c foreign.c xen.c xen_calls.c evtchn.c xenstore.c)
fakes-xen/daemon_test := $(fake_xen)
fakes-xen/daemon_worker_test := $(fake_xen)
fakes-xen/daemon_input_test := $(fake_xen)
fakes-xen/daemon_seat_test := $(fake_xen) tests/xen/fake_keeper.c
fakes-xen/control_seat_test := $(fake_xen)
fakes-xen/daemon_keys_test := $(fake_xen)
fakes-xen/daemon_health_test := $(fake_xen)
fakes-xen/daemon_reload_test := $(fake_xen)
fakes-xen/daemon_restart_test := $(fake_xen) tests/xen/fake_keeper.c
fakes-xen/daemon_restart_reload_test := $(fakes-xen/daemon_restart_test)
fakes-xen/daemon_foreign_test := $(fake_xen)
fakes-xen/life_cycle_test := $(fake_xen)
fakes-xen/control_test := $(fake_xen)
fakes-xen/control_abuse_test := $(fake_xen)
fakes-xen/control_screen_test := $(fake_xen)
fakes-xen/control_top_test := $(fake_xen)
fakes-xen/control_trace_test := $(fake_xen)
fakes-xen/xen_script_test := $(fake_xen) tests/xen/xen_script.c

# Test programs: tests/unit/x_test.c -> $(BUILD)/unit/x_test
$(addprefix $(BUILD)/,$(tests) xen/grant_bench $(release_tests)): $(BUILD)/%: $(BUILD)/obj/tests/%.o \
		$$(call objects,$$(fakes-$$*)) $(LOOPBACK) $(LIB)
	@mkdir -p $(@D)
	$(call say,LD)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(pkg_libs) $(seat_libs) -lcmocka -lpthread

fakes-fuzz/control_fuzz := $(fake_xen)

$(addprefix $(BUILD)/,$(fuzzers)): $(BUILD)/%: $(BUILD)/obj/tests/%.o \
		$$(call objects,$$(fakes-$$*)) $(LOOPBACK) $(LIB)
	@mkdir -p $(@D)
	$(call say,LD)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(pkg_libs) $(seat_libs) -lpthread

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)

# ---------------------------------------------------------------- tests

release-test-programs: $(addprefix $(BUILD)/,$(release_tests) $(both_tests) gpudom-worker gpudom-worker-compromised)
test-programs: $(addprefix $(BUILD)/,$(tests) $(filter-out gpudomd gpudomctl gpudom-bench,$(PROGRAMS)))
fuzz-programs: $(addprefix $(BUILD)/,$(fuzzers))

# Everyday: unit, device and fake-Xen tests under sanitizers, each fuzzer briefly, what can be left
# out of the build, and a real guest under QEMU.
test: check fuzz-check
	tests/build-variants.sh
	+$(MAKE) BUILD=build/asan SANITIZE=1 gpudom-worker
	tests/system/qemu/test.sh
	tests/system/qemu/input.sh

check:
	+$(MAKE) BUILD=build/asan SANITIZE=1 test-programs
	+$(MAKE) BUILD=build/release release-test-programs
	tests/run.sh $(addprefix build/asan/,$(filter-out $(alone_tests),$(tests))) \
		$(addprefix build/release/,$(release_tests) $(both_tests)) \
		--alone $(addprefix build/asan/,$(alone_tests))

FUZZ_SECONDS ?= 5
fuzz-check:
	+$(MAKE) BUILD=build/fuzz FUZZ=1 CC=$(CLANG) fuzz-programs
	tests/fuzz/run.sh $(FUZZ_SECONDS) $(addprefix build/fuzz/,$(fuzzers))

system-test:
	tests/system/xen/test.sh
	tests/system/seat/test.sh

seat-test:
	tests/system/seat/test.sh

demo: all
	tests/system/qemu/demo.sh

xen-demo:
	tests/system/xen/demo.sh

bench: gpudom-bench gpudom-worker
	tests/bench.sh

bench-grants: $(BUILD)/xen/grant_bench
	$<

bench-qemu: gpudom-worker
	tests/system/qemu/bench.sh

.PHONY: test check fuzz-check system-test seat-test demo xen-demo bench bench-grants bench-qemu test-programs fuzz-programs
.PHONY: release-test-programs

# ---------------------------------------------------------------- house-keeping

c_files = $(shell git ls-files '*.c' '*.h')

format:
	PATH="$$(tests/lint-tools.sh):$$PATH" clang-format -i $(c_files)

lint:
	tests/lint.sh

.PHONY: format lint

man_pages := $(wildcard man/*.scd)
ifeq ($(WITH_SEAT),0)
man_pages := $(filter-out man/gpudom-seat%,$(man_pages))
endif
man: $(patsubst man/%.scd,$(BUILD)/man/%,$(man_pages))
$(BUILD)/man/%: man/%.scd
	@mkdir -p $(@D)
	scdoc <$< >$@

install: all man
	$(INSTALL) -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(DOCDIR)/examples \
		$(DESTDIR)$(UNITDIR) $(DESTDIR)$(SYSCONFDIR)/gpudom
	$(INSTALL) -m 755 $(BUILD)/gpudom-worker $(DESTDIR)$(PREFIX)/bin/
	$(INSTALL) -m 755 $(BUILD)/gpudom-bench $(BUILD)/gpudomctl $(DESTDIR)$(PREFIX)/bin/
	$(INSTALL) -m 755 $(BUILD)/gpudomd $(BUILD)/gpudom-keeper $(DESTDIR)$(PREFIX)/sbin/
	for page in $(patsubst man/%.scd,%,$(man_pages)); do \
		$(INSTALL) -D -m 644 $(BUILD)/man/$$page $(DESTDIR)$(MANDIR)/man$${page##*.}/$$page; done
	$(INSTALL) -m 644 README.md LICENSE $(DESTDIR)$(DOCDIR)/
	cp -r configs/xl configs/flask configs/kernel $(DESTDIR)$(DOCDIR)/examples/
	$(INSTALL) -d $(DESTDIR)$(DOCDIR)/examples/bpftrace
	sed 's|@BINDIR@|$(PREFIX)/bin|' configs/bpftrace/gpudom-latency.bt \
		>$(DESTDIR)$(DOCDIR)/examples/bpftrace/gpudom-latency.bt
	$(INSTALL) -D -m 644 configs/completion/gpudom.bash $(DESTDIR)$(BASHCOMPDIR)/gpudomctl
	for program in $(filter-out gpudomctl,$(PROGRAMS)); do \
		ln -sf gpudomctl $(DESTDIR)$(BASHCOMPDIR)/$$program; done
	$(INSTALL) -D -m 644 configs/completion/_gpudom $(DESTDIR)$(ZSHCOMPDIR)/_gpudom
	sed 's|@SBINDIR@|$(PREFIX)/sbin|' configs/systemd/gpudomd.service.in \
		>$(DESTDIR)$(UNITDIR)/gpudomd.service
ifeq ($(WITH_SEAT),1)
	$(INSTALL) -m 755 $(BUILD)/gpudom-seat $(DESTDIR)$(PREFIX)/sbin/
	sed 's|@SBINDIR@|$(PREFIX)/sbin|' configs/systemd/gpudom-seat.service.in \
		>$(DESTDIR)$(UNITDIR)/gpudom-seat.service
	[ -e $(DESTDIR)$(SYSCONFDIR)/gpudom/seat.conf ] || \
		$(INSTALL) -m 644 configs/seat.conf $(DESTDIR)$(SYSCONFDIR)/gpudom/seat.conf
endif
	$(INSTALL) -D -m 644 configs/sysusers.d/gpudom.conf $(DESTDIR)$(SYSUSERSDIR)/gpudom.conf
	$(INSTALL) -D -m 644 configs/tmpfiles.d/gpudom.conf $(DESTDIR)$(TMPFILESDIR)/gpudom.conf
	$(INSTALL) -D -m 644 configs/udev/70-gpudom.rules $(DESTDIR)$(UDEVRULESDIR)/70-gpudom.rules
	[ -e $(DESTDIR)$(SYSCONFDIR)/gpudom/gpudom.conf ] || \
		$(INSTALL) -m 644 configs/gpudom.conf $(DESTDIR)$(SYSCONFDIR)/gpudom/gpudom.conf

clean:
	rm -rf build

help:
	@echo 'make               build gpudomd, gpudom-keeper, gpudom-worker, gpudom-bench into $(BUILD)'
	@echo 'make demo          a stock guest under QEMU draws through gpudom; demo.png'
	@echo 'make xen-demo      the same on a real Xen (emulated), in a driver domain; xen-demo.png'
	@echo 'make compromised   a worker that a guest has taken over, for trying the sandbox'
	@echo 'make test          unit, device, fake-Xen and fuzz tests, and a guest under QEMU'
	@echo 'make system-test   the tests on a real Xen, and seat-test'
	@echo 'make seat-test     gpudom-seat on real KMS and uinput (emulated)'
	@echo 'make bench         gpudom-worker beside memcpy and QEMU'\''s vhost-user-gpu'
	@echo 'make bench-grants  what a sandboxed worker'\''s grants cost'
	@echo 'make bench-qemu    glmark2 in a guest, beside QEMU'\''s own device'
	@echo 'make install       DESTDIR=, PREFIX=/usr/local'
	@echo 'make WITH_VIRGL=0  without virglrenderer and EGL: guests get 2D; into build/release-no-virgl'
	@echo 'make format lint   clang-format; clang-tidy and cppcheck'

.PHONY: man install clean help
