# Casement. `make` builds ./casement, `make check` runs the unit tests, `make test` everything, `make run` the main job.
CC ?= cc
CFLAGS ?= -O2 -g
PREFIX ?= /usr/local
PACKAGES := slirp liburing zlib libvncserver libwebsockets jansson libssl libcrypto libcurl libudfread libisofs-1 expat libmnl libnftables
VERSION := 0.1.0

WARNINGS := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla
CPPFLAGS += -Iinclude -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DCASEMENT_VERSION='"$(VERSION)"'
# Where the tree lies is not part of the program: another folder gives the same one, bit for bit.
BASE_CFLAGS := -std=c17 -pthread -ffile-prefix-map=$(CURDIR)=. -fno-strict-aliasing -fstack-protector-strong $(WARNINGS)
PKG_CFLAGS = $(shell pkg-config --cflags $(PACKAGES))
LIBS = $(shell pkg-config --libs $(PACKAGES)) -pthread

ASAN := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
# The fences of a virtqueue pair with a guest, which the sanitizer does not see in any case.
TSAN := -O1 -g -fsanitize=thread -Wno-tsan

COMMA := ,

# The page and the RFB client that it is built around, compressed into the program.
ASSETS := build/page/assets.c
SOURCES := $(sort $(wildcard vmm/*.c vmm/*/*.c devices/*/*.c firmware/*.c)) $(ASSETS)
LIBRARY_SOURCES := $(filter-out vmm/main.c,$(SOURCES))
TEST_HELPERS := $(sort $(wildcard tests/unit/fake*.c))
UNIT_TESTS := $(patsubst tests/unit/%.c,%,$(sort $(wildcard tests/unit/test_*.c)))
RACE_TESTS := $(patsubst tests/unit/%.c,%,$(sort $(wildcard tests/unit/race_*.c)))

all: casement

casement: $(SOURCES:%.c=build/release/%.o)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

# One build folder per flavour; every object names its headers in a .d file.
define flavour
build/$(1)/%.o: %.c Makefile
	@mkdir -p $$(@D)
	$$(CC) $$(CPPFLAGS) $$(PKG_CFLAGS) $$(BASE_CFLAGS) $(2) -MMD -MP -c -o $$@ $$<
build/$(1)/libcasement.a: $$(LIBRARY_SOURCES:%.c=build/$(1)/%.o)
	@rm -f $$@
	@$$(AR) rcs $$@ $$^
build/$(1)/casement: $$(SOURCES:%.c=build/$(1)/%.o)
	$$(CC) $(2) $$(LDFLAGS) -o $$@ $$^ $$(LIBS)
build/$(1)/test/%: build/$(1)/tests/unit/%.o $$(TEST_HELPERS:%.c=build/$(1)/%.o) build/$(1)/libcasement.a
	@mkdir -p $$(@D)
	$$(CC) $(2) -o $$@ $$^ $$(LIBS) -lcmocka
build/$(1)/program/%: build/$(1)/tests/%.o build/$(1)/libcasement.a
	@mkdir -p $$(@D)
	$$(CC) $(2) -o $$@ $$^ $$(LIBS)
endef
$(eval $(call flavour,release,$(CFLAGS)))
$(eval $(call flavour,asan,$(ASAN)))
$(eval $(call flavour,tsan,$(TSAN)))
$(eval $(call flavour,fuzz,-O1 -g -fsanitize=fuzzer-no-link$(COMMA)address$(COMMA)undefined -fno-sanitize-recover=all))
build/fuzz/%: CC = clang
.SECONDARY:
-include $(shell find build -name '*.d' -type f 2>/dev/null)

build/novnc/LICENSE.txt: tools/novnc
	tools/novnc $(@D)
build/page/embed: tools/embed.c
	@mkdir -p $(@D)
	$(CC) $(BASE_CFLAGS) -D_GNU_SOURCE -O2 -o $@ $< $(shell pkg-config --cflags --libs zlib)
$(ASSETS): build/page/embed build/novnc/LICENSE.txt vmm/viewer/page $(wildcard vmm/viewer/page/*)
	build/page/embed /=vmm/viewer/page /novnc/=build/novnc >$@.new
	@mv $@.new $@

check: $(UNIT_TESTS:%=build/asan/test/%) $(RACE_TESTS:%=build/tsan/test/%)
	tests/unit/run $^

# One program: make build/asan/test/test_bus, or, built and run: make unit TEST=test_bus
unit: build/asan/test/$(TEST)
	tests/unit/run $<

# Random deeds of guests and random images, each fuzzer for so many seconds: make fuzz SECONDS=600. Needs clang.
SECONDS ?= 60
FUZZERS := $(patsubst tests/fuzz/%.c,build/fuzz/run/%,$(sort $(wildcard tests/fuzz/*.c)))
build/fuzz/run/%: build/fuzz/tests/fuzz/%.o $(TEST_HELPERS:%.c=build/fuzz/%.o) build/fuzz/libcasement.a
	@mkdir -p $(@D)
	clang -fsanitize=fuzzer,address,undefined -o $@ $^ $(LIBS) -lcmocka
fuzz: $(FUZZERS)
	tests/fuzz/run $(SECONDS) $^

# Programs that tests drive, each with a part of Casement in it.
TEST_PROGRAMS := release/program/storage/driver asan/program/storage/driver asan/program/share/driver release/program/network/guest
test-programs: $(TEST_PROGRAMS:%=build/%)

# What a program that is linked with the library needs beside it.
libs:
	@echo $(LIBS)

test: casement
	tests/run $(SUITE)

format:
	clang-format -i $(shell git ls-files '*.c' '*.h')
lint:
	tests/lint

run:
	tools/run
# The whole story of an installation, with a Linux that plays Windows Setup: make rehearse SYSTEM=server-2022
rehearse: casement
	tests/rehearsal/rehearse
# The table of keyboard layouts, from the X keyboard configuration of the machine at hand.
layouts:
	tools/layouts >build/layouts.inc && mv build/layouts.inc devices/input/layouts.inc
docs: casement
	./casement config --reference >docs/options.md
	./casement config --container-reference >docs/container.md

install: casement
	install -D -m 755 casement $(DESTDIR)$(PREFIX)/bin/casement

# The container's root tree, as an archive, too, and what is in it; the Dockerfile does no more.
image: casement
	tools/image casement build/image

clean:
	rm -rf build casement

.PHONY: all check unit fuzz test-programs libs test format lint run rehearse layouts docs install image clean
