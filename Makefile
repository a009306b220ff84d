# eiot: `make demo` and `make test` need nothing but make and git; the rest is PGXS as usual.
EXTENSION = eiot
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" eiot.control)
MODULE_big = eiot
OBJS = $(patsubst %.c,%.o,$(sort $(wildcard $(addprefix src/, *.c access/*.c classify/*.c coverage/*.c proration/*.c watch/*.c))))

# The install script is these files, in this order.
SQL_PARTS = $(addprefix sql/, \
	schema.sql classify.sql oui.sql device_type.sql fingerprint.sql starter_fingerprints.sql \
	coverage.sql entitlement.sql proration.sql inventory.sql lifecycle.sql timeline.sql charges.sql purchase.sql \
	import.sql staging.sql watch.sql page.sql report.sql bi.sql access.sql statistics.sql)

DATA_built = eiot--$(EXTVERSION).sql
DATA = $(wildcard sql/updates/eiot--*--*.sql)
SHLIB_LINK = -lpcre2-8
PGFILEDESC = "eiot - license coverage of IoT devices"

REGRESS := $(patsubst test/sql/%.sql,%,$(wildcard test/sql/*.sql))
REGRESS_OPTS = --inputdir=test --outputdir=output --load-extension=btree_gist --load-extension=eiot
ISOLATION := $(patsubst test/specs/%.spec,%,$(wildcard test/specs/*.spec))
ISOLATION_OPTS = --inputdir=test --outputdir=output --load-extension=btree_gist --load-extension=eiot
REGRESS_PREP = output/expected

EXTRA_CLEAN = output tmp_check

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
HAVE_PGXS := $(wildcard $(PGXS))

# The server's headers are not ours to warn about.
PG_CPPFLAGS = -I$(CURDIR)/src -DEIOT_VERSION='"$(EXTVERSION)"' $(if $(HAVE_PGXS),-isystem $(shell $(PG_CONFIG) --includedir-server))
PG_CFLAGS = -Wall -Wextra -Wno-declaration-after-statement

ifneq ($(HAVE_PGXS),)
all:
include $(PGXS)
# A header's structs go into every object that reads them.
$(OBJS): $(wildcard src/*.h src/*/*.h)
# On 15 nothing else hides the names that SQL does not call.
ifeq ($(PORTNAME),linux)
SHLIB_LINK += -Wl,--version-script=$(CURDIR)/src/exports.map
eiot.so: src/exports.map
endif
# The program has a Makefile of its own.
all: client
install: install-client
uninstall: uninstall-client
clean: clean-client
client:
	$(MAKE) -C src/client all EIOT_VERSION='$(EXTVERSION)' PG_CONFIG='$(PG_CONFIG)'
install-client uninstall-client clean-client: %-client:
	$(MAKE) -C src/client $* EIOT_VERSION='$(EXTVERSION)' PG_CONFIG='$(PG_CONFIG)'
.PHONY: client install-client uninstall-client clean-client
else
all install installcheck clean:
	@echo "PostgreSQL's development files are missing; 'make demo' installs them, or set PG_CONFIG." >&2; exit 1
endif

# pg_regress looks for input below its output folder first, and sql/ at the top is not input.
output/expected:
	mkdir -p output
	ln -sfn ../expected $@

eiot--$(EXTVERSION).sql: eiot.control $(SQL_PARTS)
	{ printf '%s\n' '\echo Use "CREATE EXTENSION eiot CASCADE" to load this file. \quit'; cat $(SQL_PARTS); } > $@

# Whole runs on a throw-away cluster; each installs what it needs first.
demo test test-long bench lint:
	PG_CONFIG='$(PG_CONFIG)' test/run $@

# The prefilter of the fingerprints, by libFuzzer and a generator of patterns.
fuzz:
	test/fuzz/run.sh $(FUZZ_SECONDS)

.PHONY: demo test test-long bench lint fuzz
