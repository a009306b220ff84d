-- Reports: what is escaped, how numbers read, what the page says and what it is made of.
\set ON_ERROR_STOP 1
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL TimeZone = 'UTC';
SET LOCAL jit = off;

SELECT no_plan();

-- ---- escaping

SELECT is(eiot.html_escape(value), escaped, format('escaped: %s', what))
  FROM (VALUES
    ('Fabrikam', 'Fabrikam', 'a name'),
    ('', '', 'nothing'),
    ('<script>alert(1)</script>', '&lt;script&gt;alert(1)&lt;/script&gt;', 'a script'),
    ('a & b &amp; c', 'a &amp; b &amp;amp; c', 'ampersands'),
    ('"x" ''y''', '&quot;x&quot; &#39;y&#39;', 'quotes'),
    (']]>', ']]&gt;', 'the end of CDATA'),
    ('-->', '--&gt;', 'the end of a comment'),
    (E'a\tb\nc', E'a\tb\nc', 'a tab and the end of a line stay'),
    (E'a\x01b\x08c\x0bd\x0ce\rf\x1b[31mg\x7f', 'a&#xFFFD;b&#xFFFD;c&#xFFFD;d&#xFFFD;e&#xFFFD;f&#xFFFD;[31mg&#xFFFD;', 'control characters'),
    (U&'a\0085b\009Fc', 'a&#xFFFD;b&#xFFFD;c', 'C1 control characters'),
    (U&'a\202Eb\202Ac\2066d\2069e\200Ef\200Fg\061Ch', 'a&#xFFFD;b&#xFFFD;c&#xFFFD;d&#xFFFD;e&#xFFFD;f&#xFFFD;g&#xFFFD;h', 'what changes the direction of writing'),
    (U&'a\200Bb\2060c\FEFFd\2028e\2029f\FFFEg\FFFFh', 'a&#xFFFD;b&#xFFFD;c&#xFFFD;d&#xFFFD;e&#xFFFD;f&#xFFFD;g&#xFFFD;h', 'what nobody sees'),
    (U&'a\+0E0041b', 'a&#xFFFD;b', 'tags'),
    (U&'\05E9\05DC\05D5\05DD \00FC\4E2D\+01F468\200D\+01F469', U&'\05E9\05DC\05D5\05DD \00FC\4E2D\+01F468\200D\+01F469', 'letters of all the world, and what joins them')
  ) v(value, escaped, what);
SELECT is(eiot.html_escape(NULL), NULL, 'escaped: null');
SELECT is(eiot.html_label('<b>'), '<bdi>&lt;b&gt;</bdi>', 'a label is an element of its own');
SELECT is(eiot.html_label(repeat('&', 201)), '<bdi>' || repeat('&amp;', 200) || '&#8230;</bdi>', 'and is cut before it is escaped');
SELECT is(eiot.html_label(repeat('x', 200)), '<bdi>' || repeat('x', 200) || '</bdi>', 'at 200 characters');

-- ---- numbers

SELECT is(eiot.html_number(value), text, format('number: %s', value))
  FROM (VALUES (0::numeric, '0'), (999, '999'), (1204, '1,204'), (9223372036854775807, '9,223,372,036,854,775,807'),
               (922337203685477580700000, '922,337,203,685,477,580,700,000'), (12.5, '12.50'), (0.005, '0.005'), (1234567.891, '1,234,567.891'), (-1204, '-1,204'), (-0.5, '-0.50'), (3.000, '3.00'), (10.10, '10.10')) v(value, text);
SELECT is(eiot.html_percent(value), text, format('percent: %s', value))
  FROM (VALUES (0::numeric, '0.0%'), (0.9999, '99.9%'), (1, '100.0%'), (1.00001, '100.1%'), (1204 / 1200::numeric, '100.4%'), (0.5, '50.0%'), (12.34, '1,234.0%')) v(value, text);
SELECT is(eiot.html_count(value, 'license', 'licenses'), text, text)
  FROM (VALUES (0, '0 licenses'), (1, '1 license'), (1204, '1,204 licenses')) v(value, text);
SET LOCAL lc_numeric = 'C';
SET LOCAL DateStyle = 'German';
SET LOCAL TimeZone = 'Asia/Tokyo';
SELECT is(eiot.html_instant('2026-08-12 09:30:59+00'), '2026-08-12 09:30 UTC', 'an instant is the same in every session');
SELECT is(eiot.report_period(frequency, as_of::timestamptz), period::daterange, format('the last whole %s before %s', frequency, as_of))
  FROM (VALUES ('day', '2026-03-01T00:00:00Z', '[2026-02-28,2026-03-01)'), ('day', '2026-03-01T23:59:59Z', '[2026-02-28,2026-03-01)'),
               ('week', '2026-08-12T00:00:00Z', '[2026-08-03,2026-08-10)'), ('week', '2026-08-10T00:00:00Z', '[2026-08-03,2026-08-10)'),
               ('month', '2026-03-31T12:00:00Z', '[2026-02-01,2026-03-01)'), ('month', '2026-01-01T00:00:00Z', '[2025-12-01,2026-01-01)'),
               ('month', '2025-12-31T23:59:59Z', '[2025-11-01,2025-12-01)'),
               ('quarter', '2026-08-12T00:00:00Z', '[2026-04-01,2026-07-01)'), ('year', '2026-08-12T00:00:00Z', '[2025-01-01,2026-01-01)')) v(frequency, as_of, period);
SET LOCAL TimeZone = 'UTC';
RESET DateStyle;

-- ---- axes

SELECT is_empty($$
  SELECT l, h, a.*
    FROM (SELECT l, l + d AS h
            FROM unnest('{0,1,2,3,7,99,1200,123456,999999,9223372036854775807}'::numeric[]) l,
                 unnest('{0,1,2,3,4,5,9,10,11,99,100,101,5000,123456,9223372036854775807}'::numeric[]) d) v
   CROSS JOIN LATERAL eiot.chart_axis(l, h) a
   WHERE NOT (a.lo >= 0 AND a.lo <= l AND a.hi >= h AND a.step >= 1 AND (a.hi - a.lo) / a.step BETWEEN 1 AND 6 AND mod(a.hi - a.lo, a.step) = 0
              AND a.lo = trunc(a.lo) AND a.step = trunc(a.step))
$$, 'an axis holds its values, in 1 to 6 whole steps');
SELECT is((SELECT row(a.*)::text FROM eiot.chart_axis(1200, 1204) a), '(1199,1204,1)', 'a gap of 4 in 1,204 can be seen');
SELECT is((SELECT row(a.*)::text FROM eiot.chart_axis(100, 5000) a), '(0,6000,2000)', 'far apart: from 0');

SELECT is(eiot.svg_steps('{10,10,20,NULL,5}', 0, 20), 'M0 150H400V0H600M800 225H1000', 'steps: equal values are one line, null is none');
SELECT is(eiot.svg_between('{1,3,NULL}', '{2,2,9}', 0, 10), 'M0 270H333V240H0Z', 'the area is where the second is above the first');

-- ---- a page about known figures

CREATE FUNCTION pg_temp.t(n integer) RETURNS uuid
  LANGUAGE sql IMMUTABLE
  RETURN ('f0000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid;
CREATE FUNCTION pg_temp.texts(path text, page text) RETURNS text[]
  LANGUAGE sql
  -- The page is XHTML in all but its namespace, which svg has none of, either.
  AS $$SELECT coalesce(array_agg(replace(replace(replace(replace(replace(trim(regexp_replace(coalesce((xpath('string(.)', x))[1]::text, ''), '\s+', ' ', 'g')),
                                    '&lt;', '<'), '&gt;', '>'), '&quot;', '"'), '&#13;', chr(13)), '&amp;', '&') ORDER BY i), '{}')
         FROM unnest(xpath(path, xmlparse(DOCUMENT page))) WITH ORDINALITY v(x, i)$$;
CREATE SCHEMA asset;
SELECT eiot.create_inventory('asset.device');
INSERT INTO eiot.tenant (tenant_id, name) VALUES (pg_temp.t(1), 'Fabrikam'), (pg_temp.t(2), 'Contoso'), (pg_temp.t(3), 'Tailspin');
INSERT INTO eiot.entitlement (tenant_id, sku_id, subscription_id, units, state, valid) VALUES
  (pg_temp.t(1), '06ebc4ee-1bb5-47dd-8120-11324bc54e06', 'main', 240, 'enabled', '[2026-01-01,2026-08-01)'),
  (pg_temp.t(1), 'c7df2760-2c81-4ef7-b578-5b5392b571df', 'other', 7, 'enabled', '[2026-01-01,)'),
  (pg_temp.t(2), 'b2f91841-252f-4765-94c3-75802d7c0ddb', 'main', 10, 'enabled', '[2026-01-01,)'),
  (pg_temp.t(2), 'b2f91841-252f-4765-94c3-75802d7c0ddb', 'main', 5, 'suspended', '[2026-01-01,)');
INSERT INTO asset.device (tenant_id, device_id, category, first_seen, last_seen)
SELECT pg_temp.t(1), 'iot ' || i, 'IoT', timestamptz '2026-01-01', timestamptz '2026-07-31' FROM generate_series(1, 1204) i
UNION ALL SELECT pg_temp.t(1), 'old ' || i, 'IoT', '2026-01-01', '2026-06-01' FROM generate_series(1, 3) i
UNION ALL SELECT pg_temp.t(1), 'switch ' || i, 'Network device', '2026-01-01', '2026-07-31' FROM generate_series(1, 40) i
UNION ALL SELECT pg_temp.t(2), 'iot ' || i, 'IoT', '2026-01-01', '2026-07-31' FROM generate_series(1, 10) i;

SELECT eiot.report_html('asset.device', period => '[2026-07-01,2026-08-01)') AS page \gset
SELECT is(pg_temp.texts('//h1', :'page'), '{"4 licenses are missing in 1 of 3 tenants"}', 'the headline');
SELECT is((pg_temp.texts('//title', :'page'))[1], 'License coverage of IoT devices, 2026-07-01 to 2026-07-31', 'the title');
SELECT is(pg_temp.texts('//section[h2/@id="missing"]/table/tbody/tr/th', :'page'), '{"Fabrikamup to 7 missing, 2026-07-01"}', 'who is missing licenses, and the worst instant of the period');
SELECT is((pg_temp.texts('//section[h2/@id="missing"]/table/tbody/tr/td', :'page'))[1:4], '{"1,204","1,200",4,100.4%}', 'how many');
SELECT is(pg_temp.texts('//section[h2/@id="covered"]/table/tbody/tr/th', :'page'), '{Contoso,Tailspin}', 'who is covered, the fullest first');
SELECT is(pg_temp.texts('//section[h2/@id="counting"]//table[1]/tbody/tr/th', :'page') @> '{Counts,"Of a class that does not count","Not seen for too long"}', true, 'the reasons');
SELECT is(pg_temp.texts('//section[@class="tenant"]/h3', :'page'), '{Fabrikam}', 'a section for each tenant with a gap');
SELECT ok(:'page' LIKE '%And 1 other product, which covers no devices.%', 'products that cover nothing are not listed');

-- The course of it.
SELECT is(pg_temp.texts('//section[h2/@id="trend"]/p', :'page'), '{"7 licenses were missing when the period began, 4 when it ended."}', 'the gap over the period');
SELECT is(pg_temp.texts('//section[h2/@id="trend"]//svg/desc', :'page'), '{"From 2026-07-01 to 2026-07-31: 7 at the beginning, 4 at the end, between 4 and 4."}', 'in words for who cannot see it');
SELECT is(pg_temp.texts('//section[@class="tenant"]//svg[@role="img"]/desc', :'page'),
          '{"From 2026-07-01 to 2026-07-31: devices that count between 1,204 and 1,204, licenses for 1,200. Most were missing at 2026-07-01 00:00 UTC: 7."}', 'and that of a tenant');
CREATE TEMP TABLE course AS
  SELECT l.tenant_id, l.counted AS counted_then, l.capacity AS capacity_then, l.gap AS gap_then, s.counted, s.capacity, s.gap, s.first_gap, s.max_gap, s.max_gap_at, days
    FROM (VALUES (1), (31), (93), (94), (400)) d(days)
   CROSS JOIN LATERAL eiot.report_counts('asset.device', NULL, '2026-08-01 00:00+00'::timestamptz - interval '1 microsecond') c
   CROSS JOIN LATERAL eiot.report_lines(NULL, '2026-08-01 00:00+00'::timestamptz - interval '1 microsecond', c) ls
   CROSS JOIN LATERAL unnest(ls) l
   CROSS JOIN LATERAL unnest(eiot.report_series('asset.device', l.tenant_id, '2026-08-01 00:00+00'::timestamptz - days * interval '24 hours',
                                                '2026-08-01 00:00+00'::timestamptz - interval '1 microsecond', ls)) s;
SELECT is((SELECT array_agg(DISTINCT (days, cardinality(counted))::text ORDER BY (days, cardinality(counted))::text) FROM course),
          '{"(1,1)","(31,31)","(400,80)","(93,93)","(94,47)"}', 'a step a day, and at most 93 of them');
SELECT is_empty($$SELECT * FROM course WHERE (counted[cardinality(counted)], capacity[cardinality(capacity)], gap[cardinality(gap)])
                    IS DISTINCT FROM (counted_then, capacity_then, gap_then)$$, 'the last step ends where the report stands');
SELECT is_empty($$SELECT * FROM course c WHERE days = 31 AND (counted, gap) IS DISTINCT FROM
                    (SELECT (array_agg(e.counted ORDER BY i), array_agg(e.gap ORDER BY i)) FROM generate_series(0, 30) i
                      CROSS JOIN LATERAL eiot.coverage_at('asset.device', '2026-07-02 00:00+00'::timestamptz + i * interval '24 hours' - interval '1 microsecond') e
                      WHERE e.tenant_id = c.tenant_id)$$, 'each step is what coverage_at says of its end, as nothing was first seen within');
SELECT is_empty($$SELECT * FROM course WHERE NOT (max_gap >= first_gap AND max_gap >= ALL (gap)) OR (max_gap > 0) <> (max_gap_at IS NOT NULL)$$, 'no gap is larger than the largest');

-- What to buy.
SELECT is(pg_temp.texts('//section[h2/@id="purchase"]/table/tbody/tr/td', :'page'), '{4,4,1}', 'what would cover the gap');
UPDATE eiot.entitlement SET (unit_price, currency, billing_frequency, billing_anchor) = (57.125, 'EUR', 'month', '2026-01-01')
 WHERE tenant_id = pg_temp.t(1) AND sku_id = '06ebc4ee-1bb5-47dd-8120-11324bc54e06';
INSERT INTO eiot.entitlement (tenant_id, sku_id, units, valid, unit_price, currency, billing_frequency, billing_anchor) VALUES
  (pg_temp.t(1), 'b2f91841-252f-4765-94c3-75802d7c0ddb', 1, '[2025-01-01,2026-01-01)', 1.20, 'EUR', 'year', '2025-01-01'),
  (pg_temp.t(1), 'b2f91841-252f-4765-94c3-75802d7c0ddb', 1, '[2024-01-01,2025-01-01)', 9.99, 'EUR', 'year', '2024-01-01'),
  (pg_temp.t(1), 'b2f91841-252f-4765-94c3-75802d7c0ddb', 1, '[2026-08-03,2027-01-01)', 7.77, 'EUR', 'year', '2026-08-03');
SELECT is(pg_temp.texts('//section[h2/@id="purchase"]/table/tbody/tr/td', eiot.report_html('asset.device', period => '[2026-07-01,2026-08-01)')),
          '{4,"44.80 EUR a year","157.125 EUR a month"}', 'and what it costs at the last price that was paid by then');

-- With prices that can be compared.
UPDATE eiot.entitlement SET (unit_price, billing_frequency) = (12.00, 'month') WHERE tenant_id = pg_temp.t(1) AND currency = 'EUR' AND lower(valid) = '2025-01-01';
UPDATE eiot.entitlement SET unit_price = 36.00 WHERE tenant_id = pg_temp.t(1) AND sku_id = '06ebc4ee-1bb5-47dd-8120-11324bc54e06';
SELECT is(pg_temp.texts('//section[h2/@id="purchase"]/table/tbody/tr/td', eiot.report_html('asset.device', period => '[2026-07-01,2026-08-01)')),
          '{4,"448.00 EUR a month","136.00 EUR a month","1 user, 0 standalone36.00 EUR a month"}', 'the cheapest mix');
SELECT is(pg_temp.texts('//section[h2/@id="charges"]/table/tbody/tr/*', eiot.report_html('asset.device', period => '[2026-07-01,2026-08-01)')),
          '{"Microsoft 365 E5",1,"8,640.00",0,"8,640.00 EUR"}', 'what the period cost');

SELECT eiot.report_html('asset.device', pg_temp.t(2), '[2026-07-01,2026-08-01)') AS page \gset
SELECT is(pg_temp.texts('//h1', :'page'), '{"Contoso has all the licenses it needs"}', 'the headline of one tenant');
SELECT is(pg_temp.texts('//section[@class="tenant"]//table[caption="Licenses at the end of the period"]/tbody/tr/td', :'page'), '{10,1,10,5suspended,1,0}', 'suspended units cover nothing');
SELECT ok(:'page' NOT LIKE '%Fabrikam%', 'the page of one tenant names no other');
SELECT is((pg_temp.texts('//h1', eiot.report_html('asset.device', pg_temp.t(1), '[2026-08-01,2026-08-02)')))[1], 'Fabrikam is missing 1,204 licenses', 'a day after the licenses have ended');
SELECT is((pg_temp.texts('//h1', eiot.report_html('asset.device', pg_temp.t(1), '[2026-07-31,2026-08-01)')))[1], 'Fabrikam is missing 4 licenses', 'what ends with the period is still in it');
SELECT is((pg_temp.texts('//h1', eiot.report_html('asset.device', period => '[2020-07-31,2020-08-01)')))[1], 'No counting rule is in force', 'before the first rule');
SELECT is((pg_temp.texts('//title', eiot.report_html('asset.device')))[1],
          format('License coverage of IoT devices, %s to %s', (date_trunc('month', now()) - interval '1 month')::date, date_trunc('month', now())::date - 1),
          'without a period it is the last whole month');
SELECT is(regexp_replace(eiot.report_html('asset.device', NULL, NULL), 'Made on .*', ''), regexp_replace(eiot.report_html('asset.device'), 'Made on .*', ''), 'and null says the same');

SELECT throws_ok(statement, code, NULL, what)
  FROM (VALUES
    ($$SELECT eiot.report_html(NULL)$$, '22004', 'no inventory'),
    ($$SELECT eiot.report_html('pg_class')$$, '42809', 'a relation that is none'),
    ($$SELECT eiot.report_html('asset.device', pg_temp.t(99))$$, '23503', 'an unknown tenant'),
    ($$SELECT eiot.report_html('asset.device', period => 'empty')$$, '22023', 'an empty period'),
    ($$SELECT eiot.report_html('asset.device', period => '[2026-07-01,)')$$, '22023', 'a period without an end'),
    ($$SELECT eiot.report_html('asset.device', period => '(,2026-07-01)')$$, '22023', 'a period without a beginning'),
    ($$SELECT eiot.report_html('asset.device', period => '[2026-07-01,infinity)')$$, '22023', 'a period until infinity'),
    ($$SELECT eiot.report_html('asset.device', period => '[2000-01-01,2026-01-01)')$$, '22023', 'a period of 26 years'),
    ($$SELECT eiot.report_html('asset.device', period => '[2126-01-01,2126-02-01)')$$, '22023', 'a period to come')
  ) v(statement, code, what);

-- ---- who may see what

CREATE ROLE contoso_reader;
CREATE ROLE contoso_manager;
GRANT USAGE ON SCHEMA asset TO contoso_reader, contoso_manager;
SELECT eiot.grant_access('contoso_reader', 'reader', pg_temp.t(2));
SELECT eiot.grant_access('contoso_manager', 'manager', pg_temp.t(2));
SELECT eiot.grant_inventory('asset.device', role::regrole) FROM (VALUES ('contoso_reader'), ('contoso_manager')) v(role);
SELECT eiot.schedule_report('all', 'asset.device');
SELECT eiot.schedule_report('fabrikam', 'asset.device', pg_temp.t(1));
SELECT count(*) FROM eiot.run_reports('2026-08-01');
SET LOCAL ROLE contoso_reader;
SELECT eiot.report_html('asset.device', period => '[2026-07-01,2026-08-01)') AS page \gset
RESET ROLE;
SELECT is(pg_temp.texts('//h1', :'page'), '{"Contoso has all the licenses it needs"}', 'a reader of one tenant gets a page about that one');
SELECT ok(:'page' NOT LIKE '%Fabrikam%' AND :'page' NOT LIKE '%Tailspin%', 'which names no other');
SET LOCAL ROLE contoso_reader;
SELECT throws_ok($$SELECT eiot.report_html('asset.device', 'f0000000-0000-4000-8000-000000000001', '[2026-07-01,2026-08-01)')$$, '23503', NULL, 'and none about another');
SELECT throws_ok($$SELECT eiot.schedule_report('mine', 'asset.device', 'f0000000-0000-4000-8000-000000000002')$$, '42501', NULL, 'a reader schedules nothing');
SELECT is((SELECT count(*) FROM eiot.report_run), 0::bigint, 'and sees no stored page about others, nor one about all');
RESET ROLE;
SET LOCAL ROLE contoso_manager;
SELECT lives_ok($$SELECT eiot.schedule_report('contoso', 'asset.device', 'f0000000-0000-4000-8000-000000000002')$$, 'a manager of one tenant schedules reports about that one');
SELECT throws_ok($$SELECT eiot.schedule_report('contoso', 'asset.device')$$, '42501', NULL, 'but none about all');
SELECT throws_ok($$SELECT eiot.schedule_report('all', 'asset.device', 'f0000000-0000-4000-8000-000000000002')$$, '42501', NULL, 'and changes nobody else''s');
SELECT results_eq($$SELECT name, error FROM eiot.run_reports('2026-08-01')$$, $$VALUES ('contoso', NULL)$$, 'and makes those that are due of them');
RESET ROLE;
SET LOCAL ROLE contoso_reader;
SELECT is((SELECT array_agg(name) FROM eiot.report_run), '{contoso}', 'which the reader then sees');
RESET ROLE;
SELECT is((SELECT array_agg(created_by ORDER BY name) FROM eiot.report_run), ARRAY[current_user::text, 'contoso_manager', current_user::text], 'who made them');

-- ---- everything from outside, hostile

\set hostile '<script>alert(1)</script><img src=x onerror=alert(2)>"onload="x'' &amp; ]]> --> </style></title><svg onload=1>'
CREATE TEMP TABLE hostile AS SELECT :'hostile' || U&'\0001\001B\202E\2066\0085' || E'\r' AS text;
INSERT INTO eiot.counting_rule (name, valid, counted_classes, source) SELECT text || 'rule', 'empty', '{iot}', text || 'source' FROM hostile;
INSERT INTO eiot.sku (sku_id, part_number, name, kind, devices_per_unit, basis)
SELECT pg_temp.t(50), text || 'part', text || 'sku', 'other', 2, text || 'basis' FROM hostile;
INSERT INTO eiot.tenant (tenant_id, name, counting_rule) SELECT pg_temp.t(n), text || 'tenant' || n, text || 'rule' FROM hostile, generate_series(4, 5) n;
INSERT INTO eiot.tenant (tenant_id, name) SELECT pg_temp.t(6), text || 'tenant5' FROM hostile;
INSERT INTO eiot.entitlement (tenant_id, sku_id, subscription_id, units, valid, source) SELECT pg_temp.t(4), pg_temp.t(50), text, 1, '[2026-01-01,)', text FROM hostile;
SELECT eiot.create_inventory('asset."' || replace(left(text, 20), '"', '""') || '"') AS inventory FROM hostile \gset
SELECT format('INSERT INTO %s (tenant_id, device_id, name, category, type, subtype, vendor, model, os_platform, onboarding_status, merged_into, discovery_sources, site, tags, last_seen)
               SELECT pg_temp.t(n), text || n || m, text, c, text, text, text, text, text, CASE n WHEN 5 THEN text END, NULL, text, text, ARRAY[text], ''2026-07-31''
                 FROM hostile, generate_series(4, 5) n, generate_series(1, 9) m, unnest(ARRAY[''IoT'', text]) WITH ORDINALITY c(c, i) WHERE m %% 2 = i - 1', :'inventory') AS fill \gset
:fill;
CREATE ROLE "<b onclick='x'>role";
GRANT USAGE ON SCHEMA asset TO "<b onclick='x'>role";
SELECT eiot.grant_access('"<b onclick=''x''>role"', 'reader');
SELECT eiot.grant_inventory(:'inventory', '"<b onclick=''x''>role"');
SET LOCAL ROLE "<b onclick='x'>role";
SELECT eiot.report_html(:'inventory', period => '[2026-07-01,2026-08-01)') AS page \gset
SELECT eiot.report_html(:'inventory', pg_temp.t(4), '[2026-07-01,2026-08-01)') AS page_of_one \gset
RESET ROLE;
CREATE TEMP TABLE page AS VALUES ('of all', :'page'), ('of one', :'page_of_one');
ALTER TABLE page RENAME column1 TO what;
ALTER TABLE page RENAME column2 TO page;

SELECT lives_ok(format('SELECT xmlparse(DOCUMENT %L)', page), format('the hostile page %s is well-formed', what)) FROM page;
SELECT is((SELECT array_agg(DISTINCT e::text ORDER BY e::text) FROM unnest(xpath('//*[not(self::html or self::head or self::meta or self::title or self::style or self::body or self::header or self::main or self::footer or self::section or self::nav or self::h1 or self::h2 or self::h3 or self::h4 or self::p or self::em or self::strong or self::small or self::bdi or self::br or self::a or self::ul or self::li or self::dl or self::dt or self::dd or self::div or self::span or self::table or self::caption or self::thead or self::tbody or self::tfoot or self::tr or self::th or self::td or self::figure or self::figcaption or self::svg or self::desc or self::path or self::rect)]', xmlparse(DOCUMENT page))) e),
          NULL, format('%s: no element but those that a report is made of', what)) FROM page;
SELECT is((SELECT array_agg(DISTINCT a::text) FROM unnest(xpath('//@*[starts-with(name(), "on") or name() = "style" or name() = "src" or (name() = "href" and not(starts-with(., "#t")))]', xmlparse(DOCUMENT page))) a),
          NULL, format('%s: no attribute that runs, loads or leads anywhere', what)) FROM page;
SELECT is((SELECT count(*) FROM unnest(xpath('//style | //title[parent::head] | //h1', xmlparse(DOCUMENT page)))), 3::bigint, format('%s: one style sheet, one title, one headline', what)) FROM page;
SELECT ok(page !~ '[\u0001-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]', format('%s: no control character', what)) FROM page;
SELECT is_empty(format($$SELECT w FROM unnest(ARRAY['<script', '<img', 'onerror=alert(2)>', '</style></title>']) w
                          WHERE strpos((SELECT regexp_replace(page, '</style>\n</head>', '') FROM page WHERE what = %L), w) > 0$$, what), format('%s: nothing of it as markup', what)) FROM page;
-- And yet it is all there to be read.
SELECT is((SELECT count(*)::int FROM unnest(pg_temp.texts('//bdi', page)) b, hostile
            WHERE translate(b, U&'\FFFD', '') LIKE '%<script>alert(1)</script><img src=x onerror=alert(2)>%' || wanted || '%'), n, format('%s: %s is shown %s times', what, wanted, n))
  FROM page, (VALUES ('of all', 'tenant4', 4), ('of all', 'tenant5', 6), ('of all', 'rule', 1), ('of all', 'source', 1), ('of all', 'basis', 1),
                     ('of one', 'tenant4', 4), ('of one', 'tenant5', 0)) v(of, wanted, n) WHERE of = what;
SELECT is((SELECT count(*)::int FROM unnest(pg_temp.texts('//footer//bdi', page)) b WHERE b = '<b onclick=''x''>role'), 1, format('%s: who made it', what)) FROM page;

-- ---- what it is made of

SELECT is((SELECT array_agg(x::text) FROM unnest(xpath('//meta[@http-equiv="Content-Security-Policy"]/@content', xmlparse(DOCUMENT page))) x),
          ARRAY[format($$default-src 'none'; style-src 'sha256-%s'; base-uri 'none'; form-action 'none'$$,
                       encode(sha256(convert_to(substring(page.page from '<style>(.*?)</style>'), 'UTF8')), 'base64'))],
          format('%s: nothing may be loaded, and no style but the one whose hash is named', what))
  FROM page;
SELECT is((SELECT array_agg(x::text) FROM unnest(xpath('/html/@lang', xmlparse(DOCUMENT page))) x), '{en}', format('%s: its language', what)) FROM page;
SELECT is((SELECT count(*) FROM unnest(xpath('//table[not(caption)]', xmlparse(DOCUMENT page)))), 0::bigint, format('%s: every table has a caption', what)) FROM page;
SELECT is((SELECT count(*) FROM unnest(xpath('//th[not(@scope)] | //tbody/tr[not(th)]', xmlparse(DOCUMENT page)))), 0::bigint, format('%s: every head has a scope, every row a head', what)) FROM page;
SELECT is((SELECT count(*) FROM unnest(xpath('//svg[not(@aria-hidden="true") and not(@role="img" and title)]', xmlparse(DOCUMENT page)))), 0::bigint, format('%s: a drawing has a title or is hidden', what)) FROM page;
SELECT is_empty(format($$
  SELECT i, level, lag FROM (SELECT i, level, lag(level) OVER (ORDER BY i) FROM (
    SELECT i, (xpath('name(/*)', h))[1]::text AS level FROM unnest(xpath('//h1 | //h2 | //h3 | //h4', xmlparse(DOCUMENT (SELECT page FROM page WHERE what = %L)))) WITH ORDINALITY v(h, i)) s) s
   WHERE right(level, 1)::int > coalesce(right(lag, 1)::int, 0) + 1$$, what), format('%s: headings come in order', what)) FROM page;
SELECT is((SELECT count(*) - count(DISTINCT x::text) FROM unnest(xpath('//@id', xmlparse(DOCUMENT page))) x), 0::bigint, format('%s: every id is there once', what)) FROM page;
SELECT is_empty(format($$SELECT x::text FROM unnest(xpath('//a/@href', xmlparse(DOCUMENT (SELECT page FROM page WHERE what = %1$L)))) x
                          WHERE substr(x::text, 2) NOT IN (SELECT y::text FROM unnest(xpath('//@id', xmlparse(DOCUMENT (SELECT page FROM page WHERE what = %1$L)))) y)$$, what),
                format('%s: every link leads somewhere', what)) FROM page;

-- ---- 1,000 tenants

INSERT INTO eiot.tenant (tenant_id, name) SELECT pg_temp.t(n), 'Tenant ' || n FROM generate_series(1001, 2000) n;
INSERT INTO asset.device (tenant_id, device_id, category, first_seen, last_seen)
SELECT pg_temp.t(n), 'd' || i, 'IoT', timestamptz '2026-07-01' + i * interval '1 day', timestamptz '2026-07-31' FROM generate_series(1001, 2000) n, generate_series(1, 20) i;
SELECT eiot.report_html('asset.device', period => '[2026-07-01,2026-08-01)') AS page \gset
SELECT is((SELECT count(*) FROM unnest(xpath('//section[h2/@id="missing"]/table/tbody/tr', xmlparse(DOCUMENT :'page')))), 1001::bigint, 'all of them are on the page');
SELECT is((SELECT count(*) FROM unnest(xpath('//section[@class="tenant"]', xmlparse(DOCUMENT :'page')))), 50::bigint, '50 in detail');
SELECT cmp_ok(octet_length(:'page'), '<', 2500000, 'and it stays below 2.5 MB');

SELECT * FROM finish();
ROLLBACK;
