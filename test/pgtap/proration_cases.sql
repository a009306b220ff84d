-- Amounts that billing engines and vendors published: each row of ../shared/data/proration-{cases.csv,published.tsv} is
-- mapped to a call and a policy in test/data/proration_map.csv.  Calls that stand there in full run in any case.
--
--   source, id     the file and its row; several rows for one that states several amounts
--   policy         of the call
--   parts          [UNITSx]used@cycle, half-open; those of one row are added up; empty: the published row's own
--   price, units   empty: the published row's own; negative units are a credit
--   expected       what comes out, as a number, a fraction, or digits of which an ellipsis says that more follow;
--                  empty: the published row's own
--   shown          how the published row writes it, where that is not the same
--   total          policy that rounds the sum, where lines are rounded in total
--   contradiction  why the published amount cannot come out; expected is what does
\set ON_ERROR_STOP 1
\set QUIET 1
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL timezone = 'UTC';
\getenv data EIOT_TEST_DATA
\set map :data /proration_map.csv
-- What others published stands beside the checkout, if at all.
\getenv shared EIOT_SHARED_DATA
\if :{?shared}
\set cases :shared /proration-cases.csv
\set documents :shared /proration-published.tsv
\else
\set cases ''
\set documents ''
\endif
SELECT :'cases' <> '' AS has_published \gset

SELECT no_plan();

CREATE TEMP TABLE map (
  source text NOT NULL, id text NOT NULL, policy eiot.proration_policy, parts text, price numeric, units bigint,
  expected text, shown text, total eiot.proration_policy, contradiction text, n serial);
COPY map (source, id, policy, parts, price, units, expected, shown, total, contradiction) FROM :'map' (FORMAT csv, HEADER true);

CREATE FUNCTION pg_temp.days(half_open text) RETURNS daterange
  LANGUAGE sql IMMUTABLE
  RETURN daterange(split_part(half_open, '/', 1)::date, split_part(half_open, '/', 2)::date);

-- The sum of the parts.
CREATE FUNCTION pg_temp.amount(price numeric, units bigint, parts text, policy eiot.proration_policy) RETURNS numeric
  LANGUAGE sql STABLE
  BEGIN ATOMIC
    SELECT sum(eiot.prorate(price, units * COALESCE(p[2]::bigint, 1), pg_temp.days(p[3]), pg_temp.days(p[4]), policy))
      FROM string_to_table(parts, ';') part CROSS JOIN LATERAL regexp_match(part, '^((\d+)x)?(.*)@(.*)$') p;
  END;

CREATE FUNCTION pg_temp.agrees(amount numeric, expected text) RETURNS boolean
  LANGUAGE sql IMMUTABLE
  RETURN CASE WHEN expected LIKE '%…' THEN amount::text LIKE replace(expected, '…', '%')
              WHEN expected LIKE '%/%' THEN amount = round(split_part(expected, '/', 1)::numeric / (split_part(expected, '/', 2) || repeat('0', 30) || 'e-30')::numeric, 20)
              ELSE amount = expected::numeric END;

SELECT ok(pg_temp.agrees(0.5, '1/2') AND pg_temp.agrees(0.06666666666666666667, '2/30') AND NOT pg_temp.agrees(0.0666666666666, '2/30')
          AND pg_temp.agrees(1.147593383, '1.147593…') AND NOT pg_temp.agrees(1.147583383, '1.147593…') AND pg_temp.agrees(12.00, '12'),
          'the comparison tells right from wrong');

-- ---- calls that stand in the map

SELECT cmp_ok(count(*), '>=', 95::bigint, 'calls that need nothing else') FROM map WHERE price IS NOT NULL;
SELECT ok(pg_temp.agrees(amount, expected), format('%s %s: %s × %s, %s of %s is %s, not %s', source, id, price, units, policy, parts, expected, amount))
  FROM (SELECT *, pg_temp.amount(price, units, parts, policy) AS amount FROM map WHERE price IS NOT NULL) m ORDER BY n;
-- The one that is about dates alone.
SELECT is(string_agg(lower(cycle)::text, ',' ORDER BY cycle), m.expected, format('%s %s: billing does not stop', source, id))
  FROM map m CROSS JOIN eiot.billing_cycles('2017-01-31', 'month', '[2017-01-31,2017-05-01)') cycle WHERE id = 'D08' GROUP BY source, id, m.expected;
SELECT set_eq('SELECT source, id FROM map WHERE contradiction IS NOT NULL',
              $$VALUES ('published', 'N26'), ('published', 'N27'), ('published', 'L10'), ('published', 'A03')$$,
              'published amounts that contradict their own source');

-- ---- the published files, where they are at hand

\if :has_published
CREATE TEMP TABLE cases (
  case_id text, engine text, start_date date, end_date date, period_start date, period_end date, price numeric, quantity bigint,
  mode text, day_count text, rounding text, expected_amount text, target_date date, anchor_day integer, period_unit text, segments text,
  formula_check text, note text, source text);
COPY cases FROM :'cases' (FORMAT csv, HEADER true);
CREATE TEMP TABLE document (id text, system text, inputs text, num text, den text, qty text, unit text, expected text, r text, ok text, source text);
COPY document FROM :'documents' (FORMAT csv, DELIMITER E'\t', QUOTE E'\b', HEADER true);

SELECT is(count(*), 254::bigint, 'rows of proration-cases.csv') FROM cases;
SELECT is(count(*), 81::bigint, 'rows of proration-published.tsv') FROM document;
SELECT set_eq($$SELECT id FROM map WHERE source = 'cases'$$, 'SELECT case_id FROM cases', 'each of the cases is mapped, and no other');
SELECT set_eq($$SELECT id FROM map WHERE source = 'published'$$, 'SELECT id FROM document', 'each of the documents'' rows is mapped, and no other');

-- The row's own segments, or its span of its period.  A credit is as many units, taken back.
CREATE TEMP TABLE result AS
  SELECT m.n, c.case_id, c.engine, c.mode, m.policy, v.parts, c.price, v.units, c.expected_amount,
         CASE WHEN m.total IS NULL THEN pg_temp.amount(c.price, v.units, v.parts, m.policy)
              ELSE eiot.round_total(pg_temp.amount(c.price, v.units, v.parts, m.policy), m.total) END AS amount
    FROM map m
    JOIN cases c ON c.case_id = m.id
   CROSS JOIN LATERAL (VALUES (
           COALESCE(m.parts, c.segments, format('%s/%s@%s/%s', c.start_date, c.end_date, c.period_start, c.period_end)),
           COALESCE(c.quantity, 1) * CASE WHEN c.expected_amount LIKE '-%' THEN -1 ELSE 1 END)) v(parts, units)
   WHERE m.source = 'cases';
SELECT is(count(*), 254::bigint, 'a result for each of the cases') FROM result;
SELECT ok(pg_temp.agrees(amount, expected_amount),
          format('case %s, %s, %s: %s × %s, %s of %s is %s, not %s', case_id, engine, mode, price, units, policy, parts, expected_amount, amount))
  FROM result ORDER BY n;
-- Day counts are ours, so the file's statement of them has to be the policy's.
SELECT is_empty($$SELECT case_id, day_count, m.policy FROM cases c JOIN map m ON m.id = c.case_id AND m.source = 'cases'
                   WHERE (day_count LIKE 'fixed-30%' OR day_count LIKE 'strict 30/360%') <> (m.policy::text LIKE '%month=30%')
                      OR (day_count LIKE 'actual/30%') <> (m.policy::text LIKE '%denominator=30,%')$$,
                'policies count days as the cases say');

-- What the map expects is what the documents show.
SELECT ok(strpos(concat_ws(' ', d.inputs, d.num, d.num || '/' || d.den, d.expected, d.ok), COALESCE(m.shown, m.expected)) > 0,
          format('%s, %s: shows %s', m.id, d.system, COALESCE(m.shown, m.expected)))
  FROM map m JOIN document d USING (id) WHERE m.source = 'published' ORDER BY n;
-- Price and units are theirs as well, where they state them as numbers.
SELECT is_empty($$SELECT id, d.unit, m.price, d.qty, m.units FROM map m JOIN document d USING (id)
                   WHERE m.source = 'published' AND id NOT IN ('P01', 'D07', 'K13', 'A01')
                     AND (d.unit ~ '^[0-9.]+c?$' AND rtrim(d.unit, 'c')::numeric <> m.price OR d.qty ~ '^\d+$' AND d.qty::bigint <> abs(m.units))$$,
                'prices and units are those of the documents');
SELECT is_empty($$SELECT id, policy FROM map m JOIN document d USING (id)
                   WHERE m.source = 'published' AND (d.r = 'T' AND policy::text NOT LIKE '%round=truncate%at=line%'
                      OR d.r = 'E' AND policy::text NOT LIKE '%round=truncate%at=unit%' OR d.r = 'EH' AND policy::text NOT LIKE '%round=half_up%at=unit%')$$,
                'policies round where and how the documents do');
SELECT set_eq($$SELECT id FROM document WHERE r = 'DOC'$$, $$SELECT id FROM map WHERE contradiction IS NOT NULL$$,
              'the contradictions are those that the file marks');
SELECT is_empty($$SELECT id FROM map WHERE contradiction IS NOT NULL AND pg_temp.agrees(pg_temp.amount(price, units, parts, policy), split_part(shown, 'doc ', CASE WHEN shown LIKE '%doc %' THEN 2 ELSE 1 END))$$,
                'and none of their amounts comes out');
\endif

SELECT * FROM finish();
ROLLBACK;
