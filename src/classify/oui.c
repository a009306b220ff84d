/*
 * oui.c
 *		Vendor of a MAC address, from a copy of eiot.oui in the backend's memory.
 *
 * Nearly all addresses need one look-up, that of their first 24 bits, whose
 * entry tells whether longer prefixes lie below it.
 */
#include "eiot.h"

#include "common/hashfn.h"
#include "utils/builtins.h"
#include "utils/inet.h"
#include "utils/memutils.h"

#include "kept.h"

PG_FUNCTION_INFO_V1(eiot_oui_vendor);

#define MAC_BITS 48

/* Columns of eiot.oui. */
#define Natts_oui 4
#define Anum_oui_prefix 1
#define Anum_oui_bits 2
#define Anum_oui_vendor 3

/* An address block; one without a vendor only says that smaller ones lie in it. */
typedef struct OuiBlock
{
	uint64		key;			/* prefix, shifted left, and its bits */
	text	   *vendor;
	bool		has_28;
	bool		has_36;
	char		status;
} OuiBlock;

#define SH_PREFIX oui
#define SH_ELEMENT_TYPE OuiBlock
#define SH_KEY_TYPE uint64
#define SH_KEY key
#define SH_HASH_KEY(tb, key) hash_combine(murmurhash32((uint32) (key)), (uint32) ((key) >> 32))
#define SH_EQUAL(tb, a, b) ((a) == (b))
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

static MemoryContext oui_context = NULL;
static oui_hash *oui_blocks = NULL;
static Kept kept_oui = {.tables = {"oui"}};

static inline uint64
block_key(uint64 address, int bits)
{
	return (address >> (MAC_BITS - bits)) << 8 | (uint64) bits;
}

static uint64
mac_to_uint64(const macaddr *mac)
{
	return (uint64) mac->a << 40 | (uint64) mac->b << 32 | (uint64) mac->c << 24 |
		(uint64) mac->d << 16 | (uint64) mac->e << 8 | (uint64) mac->f;
}

static OuiBlock *
enter_block(oui_hash *blocks, uint64 key)
{
	bool		found;
	OuiBlock   *block = oui_insert(blocks, key, &found);

	if (!found)
	{
		block->vendor = NULL;
		block->has_28 = block->has_36 = false;
	}
	return block;
}

/* Reads eiot.oui into a context of its own, which replaces the old one at the end. */
static void
read_oui(void)
{
	KeptRows	rows;
	Datum		values[Natts_oui];
	bool		nulls[Natts_oui];
	MemoryContext context;
	oui_hash   *blocks;

	start_keeping(&kept_oui);
	context = AllocSetContextCreate(CurrentMemoryContext, "eiot address blocks",
									ALLOCSET_DEFAULT_SIZES);
	blocks = oui_create(context, 1024, NULL);
	open_rows(&rows, &kept_oui, 0, Natts_oui);
	while (next_row(&rows, values, nulls))
	{
		uint64		address = mac_to_uint64(DatumGetMacaddrP(values[Anum_oui_prefix - 1]));
		int			bits = DatumGetInt16(values[Anum_oui_bits - 1]);
		OuiBlock   *parent;
		MemoryContext old_context;

		old_context = MemoryContextSwitchTo(context);
		enter_block(blocks, block_key(address, bits))->vendor =
			DatumGetTextPCopy(values[Anum_oui_vendor - 1]);
		MemoryContextSwitchTo(old_context);

		parent = enter_block(blocks, block_key(address, 24));
		if (bits == 28)
			parent->has_28 = true;
		else if (bits == 36)
			parent->has_36 = true;
	}
	close_rows(&rows);

	if (oui_context)
		MemoryContextDelete(oui_context);
	MemoryContextSetParent(context, TopMemoryContext);
	oui_context = context;
	oui_blocks = blocks;
	finish_keeping(&kept_oui);
}

/* eiot.oui_vendor(macaddr) */
Datum
eiot_oui_vendor(PG_FUNCTION_ARGS)
{
	const macaddr *mac = PG_GETARG_MACADDR_P(0);
	uint64		address = mac_to_uint64(mac);
	OuiBlock   *block;
	const text *vendor;
	text	   *result;

	/* The bit for addresses that somebody made up: virtual or randomized. */
	if (mac->a & 0x02)
		PG_RETURN_NULL();
	if (unlikely(!is_current(&kept_oui)))
		read_oui();

	block = oui_lookup(oui_blocks, block_key(address, 24));
	if (block == NULL)
		PG_RETURN_NULL();
	vendor = block->vendor;
	if (block->has_28 || block->has_36)
	{
		OuiBlock   *smaller = NULL;

		if (block->has_36)
			smaller = oui_lookup(oui_blocks, block_key(address, 36));
		if (smaller == NULL && block->has_28)
			smaller = oui_lookup(oui_blocks, block_key(address, 28));
		if (smaller != NULL)
			vendor = smaller->vendor;
	}
	if (vendor == NULL)
		PG_RETURN_NULL();

	/* A copy: the blocks may be read anew before the caller is done. */
	result = palloc(VARSIZE_ANY(vendor));
	memcpy(result, vendor, VARSIZE_ANY(vendor));
	PG_RETURN_TEXT_P(result);
}
