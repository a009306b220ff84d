/*
 * rules.h
 *		The backend's copy of the rules of eiot.fingerprint.
 */
#ifndef EIOT_RULES_H
#define EIOT_RULES_H

#include "eiot.h"

#include "pattern.h"
#include "prefilter.h"

/* An attribute that a rule sets: a constant, a capture, or a template. */
typedef struct Attribute
{
	char	   *name;			/* UTF-8, as value */
	int			capture;		/* 0: value is the text, or the template */
	char	   *value;
	bool		is_template;	/* value names other attributes in braces */
	Datum		constant;		/* value as text in the server's encoding */
} Attribute;

typedef struct Rule
{
	int64		fingerprint_id;
	int			ordinal;
	bool		shipped;
	bool		starter;		/* rests where rules were loaded */
	char	   *pattern;		/* UTF-8 */
	uint32		options;
	bool		broken;			/* reported once, not tried again */
	bool		limit_reported;
	bool		anchored;		/* can match at the start alone */
	pcre2_code *code;			/* NULL until first needed */
	int			nattributes;
	Attribute  *attributes;
	/* Indexes into attributes, or -1. */
	int			device_type;
	int			vendor;
	int			product;
	DeviceClass device_class;	/* where the device type is a constant */
	Datum		certainty;
} Rule;

typedef struct Kind
{
	char		name[NAMEDATALEN];	/* hash key, must be first */
	MemoryContext context;
	int			nrules;
	Rule	   *rules;
	Prefilter  *prefilter;
	uint64_t   *candidates;
	Size		compiled_size;	/* of the patterns, outside of context */
	uint64		last_used;
} Kind;

extern Kind *find_kind(const text *name);
extern DeviceClass class_of_device_type(const char *device_type, int length);

#endif							/* EIOT_RULES_H */
