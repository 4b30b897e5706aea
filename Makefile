
# make             the module for Debian's nginx: build/ngx_http_confluence_module.so
# make install     puts it where Debian's nginx looks (DESTDIR is honoured)
# make check       check-style, check-layers and check-release
# make analyze     static analysers: GCC's, Clang's, cppcheck; some minutes
# make unit        the C tests that t/unit.t runs
# make tools       the programs in C that tests run
# make fuzz        the fuzzers of t/fuzz that t/stress/fuzz.t runs; needs clang
# make replay      the same without fuzzing: what t/unit.t runs
# make clean
#
# SANITIZE=address,undefined   builds below build/sanitize/ with these, or with
#                              thread
# COVERAGE=1                   builds below build/coverage/, to count what runs
# NGINX_SRC=dir                the tree that Debian's nginx-dev installs

SANITIZE  =
COVERAGE  =
BUILD     = build$(if $(SANITIZE),/sanitize)$(if $(COVERAGE),/coverage)
NGINX_SRC = /usr/share/nginx/src
DESTDIR   =
MODULEDIR = /usr/lib/nginx/modules
SHAREDIR  = /usr/share/nginx/modules-available

OPT       = -g -O2 -D_FORTIFY_SOURCE=2 -fstack-protector-strong

ifneq ($(SANITIZE),)
OPT       = -g -O1 -fno-omit-frame-pointer -fsanitize=$(SANITIZE) \
            -fno-sanitize=vptr $(if $(filter thread,$(SANITIZE)),-Wno-tsan)
endif

ifneq ($(COVERAGE),)
OPT       = -g -O1 --coverage -fprofile-update=atomic
endif

TORRENT   = $(shell pkg-config --cflags libtorrent-rasterbar)
COMMON    = $(OPT) -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 \
            -Wall -Wextra -Werror -fPIC -pthread -I. $(CPPFLAGS)
ENGINE_CC = $(CC) -std=c11 $(COMMON) -fvisibility=hidden $(CFLAGS)
SHIM_CXX  = $(CXX) -std=c++17 $(COMMON) $(TORRENT) $(CXXFLAGS)

find      = $(sort $(shell find $(1) -name '$(2)'))

ENGINE    = $(call find,engine,*.c)
SHIM      = $(call find,shim,*.cpp)
HTTP      = $(call find,ngx_http_confluence_module,*.[ch]) \
            $(call find,engine,*.h)
OBJS      = $(ENGINE:%.c=$(BUILD)/%.o) $(SHIM:%.cpp=$(BUILD)/%.o)

ROOT     := $(CURDIR)
LIB       = $(BUILD)/libconfluence.a
NAME      = ngx_http_confluence_module.so
MODULE    = $(BUILD)/$(NAME)
NGINX     = $(BUILD)/nginx


all: $(MODULE)

lib: $(LIB)


# The engine and the shim.

$(LIB): $(OBJS) $(BUILD)/lib.list
	rm -f $@
	$(AR) rcs $@ $(OBJS)

$(BUILD)/engine/%.o: engine/%.c $(BUILD)/flags.list
	@mkdir -p $(@D)
	$(ENGINE_CC) -MMD -MP -c -o $@ $<

$(BUILD)/shim/%.o: shim/%.cpp $(BUILD)/flags.list
	@mkdir -p $(@D)
	$(SHIM_CXX) -MMD -MP -c -o $@ $<

-include $(OBJS:.o=.d)


# The module: nginx's own build, in a copy of its tree.  It is configured anew
# only when a source file came or went, or the build itself has changed.  What
# it writes has absolute paths: a tree that was copied or moved with its build/
# would build, and link, the sources of the tree that it came from.

$(MODULE): $(LIB) $(NGINX)/configured FORCE
	$(MAKE) -C $(NGINX) -f objs/Makefile modules
	@cmp -s $(NGINX)/objs/$(NAME) $@ || { \
	    cp -p $(NGINX)/objs/$(NAME) $@.new && mv -f $@.new $@; }

$(NGINX)/configured: config config.make $(BUILD)/http.list $(BUILD)/flags.list
	@test -f $(NGINX_SRC)/conf_flags || { \
	    echo "$(NGINX_SRC): no nginx sources, install nginx-dev" >&2; \
	    exit 1; }
	rm -rf $(NGINX)
	cp -R $(NGINX_SRC) $(NGINX)
	cd $(NGINX) && . ./conf_flags && \
	    CONFLUENCE_LIB=$(abspath $(LIB)) ./configure \
	    "$${NGX_CONF_FLAGS[@]}" \
	    --with-cc-opt='$(OPT) -fPIC $(CPPFLAGS) $(CFLAGS)' \
	    --with-ld-opt='-Wl,-z,relro -Wl,-z,now -fPIC $(if $(COVERAGE),--coverage) $(LDFLAGS)' \
	    --add-dynamic-module=$(ROOT) > configure.log 2>&1 || \
	    { tail -20 configure.log >&2; exit 1; }
	touch $@

$(NGINX)/configured: SHELL = /bin/bash


# Lists whose time changes only when their content does.

$(BUILD)/lib.list: LIST = $(OBJS)
$(BUILD)/http.list: LIST = $(ROOT) $(HTTP)
$(BUILD)/flags.list: LIST = $(ENGINE_CC) $(SHIM_CXX) $(LDFLAGS) $(NGINX_SRC)

$(BUILD)/%.list: FORCE
	@mkdir -p $(@D)
	@echo '$(LIST)' | cmp -s - $@ || echo '$(LIST)' > $@


install: $(MODULE)
	install -d $(DESTDIR)$(MODULEDIR) $(DESTDIR)$(SHAREDIR)
	install -m 644 $(MODULE) $(DESTDIR)$(MODULEDIR)/$(NAME)
	install -m 644 conf/mod-http-confluence.conf \
	    $(DESTDIR)$(SHAREDIR)/mod-http-confluence.conf

check: check-style check-layers check-release

check-style:
	@tools/ngx-style-check.pl \
	    $(call find,ngx_http_confluence_module engine,*.[ch])
	@if command -v clang-format > /dev/null && test -f shim/.clang-format; \
	then clang-format --dry-run -Werror \
	    $(call find,shim,*.[ch]pp); fi

check-layers:
	tools/check-layers

analyze: $(MODULE)
	tools/analyze

# Debian's nginx logs at debug level if asked; one that cannot has no use for
# some variables, and its build has -Werror.

check-release: $(NGINX)/configured
	@for file in $(call find,$(ROOT)/ngx_http_confluence_module,*.c); do \
	    (cd $(NGINX) && $(CC) -fsyntax-only -DNGX_DEBUG=0 -W -Wall \
	        -Wpointer-arith -Wno-unused-parameter -Werror \
	        $(foreach dir,core event event/modules event/quic os/unix http \
	            http/modules http/v2,-I src/$(dir)) \
	        $(foreach dir,$(sort $(dir $(filter ngx_%,$(HTTP)))),-I $(ROOT)/$(dir)) \
	        -I objs -I $(ROOT) $$file) || exit 1; done

# The C tests of t/unit, which t/unit.t runs: parts of the engine on their own.

UNITS     = $(patsubst t/unit/%.c,$(BUILD)/unit/%,$(wildcard t/unit/*.c))

UNITLIB   = $(BUILD)/unit/parts.a

unit: $(UNITS)

$(UNITLIB): $(patsubst %.c,$(BUILD)/%.o,$(ENGINE))
	@mkdir -p $(@D)
	rm -f $@
	$(AR) rcs $@ $^

$(BUILD)/unit/%: t/unit/%.c $(wildcard t/unit/*.h) $(UNITLIB)
	$(ENGINE_CC) -o $@ $< $(UNITLIB) -lsqlite3 -lcrypto

# What tests run that is written in C: t/tools/*.c.

TOOLS     = $(patsubst t/tools/%.c,$(BUILD)/tools/%,$(wildcard t/tools/*.c))

tools: $(TOOLS)

$(BUILD)/tools/%: t/tools/%.c $(UNITLIB)
	@mkdir -p $(@D)
	$(ENGINE_CC) -o $@ $< $(UNITLIB) -lsqlite3 -lcrypto

# The fuzzers of t/fuzz, and all that they are made of, by clang.

FUZZERS = $(patsubst t/fuzz/%.c,$(BUILD)/fuzz/%, \
            $(filter-out %/replay.c,$(wildcard t/fuzz/*.c)))

fuzz:
	$(MAKE) BUILD=$(BUILD)/clang CC=clang CXX=clang++ \
	    SANITIZE=fuzzer-no-link,address,undefined fuzzers

fuzzers: $(FUZZERS)

replay: $(patsubst $(BUILD)/fuzz/%,$(BUILD)/replay/%,$(FUZZERS))

$(BUILD)/fuzz/%: t/fuzz/%.c t/fuzz/fuzz.h $(LIB)
	@mkdir -p $(@D)
	$(ENGINE_CC) -c -o $@.o $<
	$(SHIM_CXX) -fsanitize=fuzzer -o $@ $@.o $(LIB) -ltorrent-rasterbar \
	    -ljansson -lsqlite3 -lcurl -lcrypto

$(BUILD)/replay/%: t/fuzz/%.c t/fuzz/replay.c t/fuzz/fuzz.h $(LIB)
	@mkdir -p $(@D)
	$(ENGINE_CC) -c -o $@.o $<
	$(ENGINE_CC) -c -o $@.main.o t/fuzz/replay.c
	$(SHIM_CXX) -o $@ $@.o $@.main.o $(LIB) -ltorrent-rasterbar \
	    -ljansson -lsqlite3 -lcurl -lcrypto

clean:
	rm -rf build

FORCE:

.PHONY: all lib unit tools fuzz fuzzers replay install analyze check check-style check-layers check-release clean FORCE
