-- How a page is drawn: escaping, numbers, charts, style.  What a report says is in report.sql.
-- All of it is ASCII, so that a database of any encoding takes it.

CREATE FUNCTION eiot.html_escape(value text) RETURNS text
  LANGUAGE sql STABLE STRICT PARALLEL SAFE COST 20
BEGIN ATOMIC
  -- Controls, and what turns the direction of writing around, are shown as what they are: out of place.  C1 controls
  -- have their code points in UTF-8 alone; in an encoding of single bytes letters are there.
  SELECT pg_catalog.regexp_replace(
           pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(
             html_escape.value COLLATE "C", '&', '&amp;'), '<', '&lt;'), '>', '&gt;'), '"', '&quot;'), '''', '&#39;'),
           CASE pg_catalog.getdatabaseencoding()
             WHEN 'UTF8' THEN '[\u0001-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffc\ufffe\uffff\U000e0000-\U000e007f]'
             ELSE '[\u0001-\u0008\u000b-\u001f\u007f]' END,
           '&#xFFFD;', 'g');
END;
COMMENT ON FUNCTION eiot.html_escape(text) IS
  'Text that HTML and XML show as it is, in an element and in a quoted attribute: & < > " and the apostrophe as references, control characters, invisible ones and those that change the direction of writing as U+FFFD; null of null';

CREATE FUNCTION eiot.html_label(value text) RETURNS text
  LANGUAGE sql STABLE STRICT PARALLEL SAFE COST 30
  RETURN '<bdi>' || eiot.html_escape(pg_catalog.left(value, 200))
         || CASE WHEN pg_catalog.length(value) > 200 THEN '&#8230;' ELSE '' END || '</bdi>';
COMMENT ON FUNCTION eiot.html_label(text) IS
  'A name from outside as an element: escaped, cut at 200 characters, and kept from turning the text around it; null of null';

CREATE FUNCTION eiot.html_number(value numeric) RETURNS text
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 5
  -- A comma in the picture is this character, whatever the locale.
  RETURN CASE WHEN value < 0 THEN '-' ELSE '' END
    || pg_catalog.to_char(pg_catalog.trunc(pg_catalog.abs(value)), 'FM999,999,999,999,999,999,999,999,999,990')
    || CASE WHEN pg_catalog.scale(value) > 0
            THEN '.' || pg_catalog.rpad(pg_catalog.substr(pg_catalog.trim_scale(pg_catalog.mod(pg_catalog.abs(value), 1))::text, 3),
                                        greatest(2, pg_catalog.min_scale(value)), '0')
            ELSE '' END;
COMMENT ON FUNCTION eiot.html_number(numeric) IS
  'A number as people read it, exact, and the same in every locale: 1204 as 1,204, and where it has digits behind the point at least two of them; null of null';

CREATE FUNCTION eiot.html_count(value numeric, singular text, plural text) RETURNS text
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 5
  RETURN eiot.html_number(value) || ' ' || CASE value WHEN 1 THEN singular ELSE plural END;
COMMENT ON FUNCTION eiot.html_count(numeric, text, text) IS '"1 license", "4 licenses"; null of null';

CREATE FUNCTION eiot.html_percent(value numeric) RETURNS text
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 5
  -- Cut off where rounding would say that all is covered, or that nothing is.
  RETURN pg_catalog.to_char(CASE WHEN value < 1 THEN pg_catalog.trunc(value * 100, 1)
                                 WHEN value > 1 THEN pg_catalog.ceil(value * 1000) / 10 ELSE 100 END,
                            'FM999,999,999,999,999,999,990.0') || '%';
COMMENT ON FUNCTION eiot.html_percent(numeric) IS
  'A ratio as a percentage with one digit, rounded away from 100.0%, which only 1 itself is; null of null';

CREATE FUNCTION eiot.html_instant(value timestamptz) RETURNS text
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 5
  RETURN pg_catalog.to_char(pg_catalog.timezone('UTC', value), 'YYYY-MM-DD HH24:MI') || ' UTC';
COMMENT ON FUNCTION eiot.html_instant(timestamptz) IS 'An instant as 2026-08-12 09:30 UTC, whatever the session''s settings; null of null';

CREATE FUNCTION eiot.chart_axis(lowest numeric, highest numeric, OUT lo numeric, OUT hi numeric, OUT step numeric)
  LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE COST 20
  SET search_path = pg_catalog, pg_temp
  AS $$
DECLARE
  margin numeric;
  magnitude numeric;
BEGIN
  -- From 0, unless all lies so close together far above it that nothing would be seen.
  lo := CASE WHEN highest - lowest < highest / 3 THEN lowest ELSE 0 END;
  margin := greatest(highest - lo, 1) / 4;
  IF lo > 0 THEN
    lo := greatest(lo - margin, 0);
  END IF;
  magnitude := power(10::numeric, floor(log(margin)));
  step := greatest(1, magnitude * CASE WHEN margin <= magnitude THEN 1 WHEN margin <= magnitude * 2 THEN 2
                                       WHEN margin <= magnitude * 5 THEN 5 ELSE 10 END);
  lo := floor(lo / step) * step;
  hi := greatest(ceil(highest / step) * step, lo + step);
  lo := trunc(lo);
  hi := trunc(hi);
  step := trunc(step);
END
$$;
COMMENT ON FUNCTION eiot.chart_axis(numeric, numeric) IS
  'An axis of whole round numbers that holds both values, in 2 to 6 steps; from 0 unless both lie close together far above it';

CREATE FUNCTION eiot.svg_steps(series bigint[], lo numeric, hi numeric) RETURNS text
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 100
BEGIN ATOMIC
  -- Each value holds until the next one; what stays the same is one line.
  SELECT pg_catalog.string_agg(
           CASE WHEN s.value IS NULL THEN ''
                WHEN s.before IS NULL THEN pg_catalog.format('M%s %s', s.x, s.y)
                WHEN s.before <> s.value THEN pg_catalog.format('H%sV%s', s.x, s.y)
                ELSE '' END
           || CASE WHEN s.value IS NOT NULL AND s.after IS NULL THEN pg_catalog.format('H%s', s.x_end) ELSE '' END,
           '' ORDER BY s.i)
    FROM (SELECT v.i, v.value,
                 pg_catalog.lag(v.value) OVER (ORDER BY v.i) AS before,
                 pg_catalog.lead(v.value) OVER (ORDER BY v.i) AS after,
                 (v.i - 1) * 1000 / pg_catalog.cardinality(svg_steps.series) AS x,
                 v.i * 1000 / pg_catalog.cardinality(svg_steps.series) AS x_end,
                 pg_catalog.round((svg_steps.hi - v.value) * 300 / (svg_steps.hi - svg_steps.lo)) AS y
            FROM pg_catalog.unnest(svg_steps.series) WITH ORDINALITY v(value, i)) s;
END;
COMMENT ON FUNCTION eiot.svg_steps(bigint[], numeric, numeric) IS
  'The path of a series over a drawing of 1000 by 300, each value held until the next; nothing is drawn for nulls';

CREATE FUNCTION eiot.svg_between(lower bigint[], upper bigint[], lo numeric, hi numeric) RETURNS text
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 100
BEGIN ATOMIC
  SELECT COALESCE(pg_catalog.string_agg(
           pg_catalog.format('M%s %sH%sV%sH%1$sZ', (v.i - 1) * 1000 / pg_catalog.cardinality(svg_between.lower),
             pg_catalog.round((svg_between.hi - v.lower) * 300 / (svg_between.hi - svg_between.lo)),
             v.i * 1000 / pg_catalog.cardinality(svg_between.lower),
             pg_catalog.round((svg_between.hi - v.upper) * 300 / (svg_between.hi - svg_between.lo))),
           '' ORDER BY v.i), '')
    FROM ROWS FROM (pg_catalog.unnest(svg_between.lower), pg_catalog.unnest(svg_between.upper)) WITH ORDINALITY v(lower, upper, i)
   WHERE v.upper > v.lower;
END;
COMMENT ON FUNCTION eiot.svg_between(bigint[], bigint[], numeric, numeric) IS
  'The path of the area where one series lies above the other, over a drawing of 1000 by 300';

CREATE FUNCTION eiot.svg_bar(part numeric, beyond numeric, whole numeric) RETURNS text
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 10
  RETURN pg_catalog.format(
    '<svg class="bar" viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true" focusable="false"><rect class="rest" width="1000" height="10"/><rect class="part" width="%s" height="10"/>%s</svg>',
    CASE WHEN whole > 0 THEN pg_catalog.round(least(part / whole, 1) * 1000) ELSE 0 END,
    -- A gap is never too small to be seen.
    CASE WHEN beyond > 0 AND whole > 0 THEN
      pg_catalog.format('<rect class="beyond" x="%s" width="%s" height="10"/>',
        1000 - greatest(pg_catalog.round(beyond / whole * 1000), 12), greatest(pg_catalog.round(beyond / whole * 1000), 12))
      ELSE '' END);
COMMENT ON FUNCTION eiot.svg_bar(numeric, numeric, numeric) IS
  'A bar of a whole: a part from the left, and from the right what lies beyond it; for the eye alone, the numbers stand beside it';

CREATE FUNCTION eiot.svg_chart(kind text, upper bigint[], lower bigint[], id text, title text, description text, first text, last text)
  RETURNS text
  LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL SAFE COST 1000
  SET search_path = pg_catalog, pg_temp
  AS $$
DECLARE
  axis record;
  ticks text;
  lines text;
BEGIN
  SELECT a.lo, a.hi, a.step INTO axis
    FROM (SELECT min(v.value) AS lowest, max(v.value) AS highest FROM unnest(upper || lower) v(value)) e
   CROSS JOIN LATERAL eiot.chart_axis(e.lowest, e.highest) a;
  SELECT string_agg(format('<span>%s</span>', eiot.html_number(v.value)), '' ORDER BY v.value DESC),
         string_agg(format('<path class="grid" d="M0 %sH1000"/>', round((axis.hi - v.value) * 300 / (axis.hi - axis.lo))), '' ORDER BY v.value)
    INTO ticks, lines
    FROM generate_series(axis.lo, axis.hi, axis.step) v(value);
  -- The drawing is stretched to the room that there is; words would be as well, so they stand around it.
  RETURN format(
    '<div class="plot"><div class="y" aria-hidden="true">%s</div>'
    '<svg class="%s" role="img" aria-labelledby="%s-t %3$s-d" viewBox="0 0 1000 300" preserveAspectRatio="none">'
    '<title id="%3$s-t">%4$s</title><desc id="%3$s-d">%5$s</desc>%6$s'
    '<path class="between" d="%7$s"/><path class="lower" d="%8$s"/><path class="upper" d="%9$s"/></svg>'
    '<div class="x" aria-hidden="true"><span>%10$s</span><span>%11$s</span></div></div>',
    ticks, kind, id, title, description, lines,
    eiot.svg_between(lower, upper, axis.lo, axis.hi),
    eiot.svg_steps(lower, axis.lo, axis.hi), eiot.svg_steps(upper, axis.lo, axis.hi), first, last);
END
$$;
COMMENT ON FUNCTION eiot.svg_chart(text, bigint[], bigint[], text, text, text, text, text) IS
  'A chart of one series and what lies below it, the area between them where the first is above; kind coverage or gap; the texts are HTML already';

CREATE FUNCTION eiot.svg_spark(upper bigint[], lower bigint[], title text) RETURNS text
  LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE COST 1000
BEGIN ATOMIC
  SELECT pg_catalog.format(
           '<svg class="spark" role="img" viewBox="0 0 1000 300" preserveAspectRatio="none"><title>%s</title>'
           '<path class="between" d="%s"/><path class="lower" d="%s"/><path class="upper" d="%s"/></svg>',
           svg_spark.title,
           eiot.svg_between(svg_spark.lower, svg_spark.upper, a.lo, a.hi),
           eiot.svg_steps(svg_spark.lower, a.lo, a.hi), eiot.svg_steps(svg_spark.upper, a.lo, a.hi))
    FROM (SELECT pg_catalog.min(v.value) AS lowest, pg_catalog.max(v.value) AS highest
            FROM pg_catalog.unnest(svg_spark.upper || svg_spark.lower) v(value)) e
   CROSS JOIN LATERAL eiot.chart_axis(e.lowest, e.highest) a;
END;
COMMENT ON FUNCTION eiot.svg_spark(bigint[], bigint[], text) IS
  'The same in the height of a line, without an axis';

CREATE FUNCTION eiot.page_style() RETURNS text
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 1
  RETURN '
:root{color-scheme:light dark;--page:#fff;--ink:#1b1f24;--soft:#57606a;--line:#dde2e8;--fill:#f4f6f8;--main:#2b6a99;--rest:#dfe6ec;--gap:#b5400b;--wash:#f7d9c8}
@media screen and (prefers-color-scheme:dark){:root{--page:#15181c;--ink:#e6e9ec;--soft:#a4aeb9;--line:#30373f;--fill:#1d2228;--main:#79b4e0;--rest:#343d47;--gap:#ff9562;--wash:#5b3422}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue","Liberation Sans",Arial,sans-serif;font-variant-numeric:tabular-nums;overflow-wrap:break-word}
header,main,footer{max-width:62rem;margin:0 auto;padding:0 1.25rem}
header{padding-top:2.5rem}
h1{font-size:clamp(1.7rem,1.1rem + 2.6vw,2.75rem);line-height:1.15;font-weight:650;letter-spacing:-.015em;margin:.35rem 0 1rem;text-wrap:balance}
h1 em{font-style:normal;color:var(--gap)}
h2{font-size:1.35rem;line-height:1.25;font-weight:650;margin:3.25rem 0 .5rem}
h3{font-size:1.1rem;line-height:1.3;font-weight:650;margin:0 0 .25rem}
h4{font-size:.875rem;font-weight:650;margin:1.25rem 0 .25rem}
p{margin:.25rem 0 .75rem;max-width:44rem}
a{color:var(--main);text-underline-offset:.15em}
a:focus-visible,.scroll:focus-visible{outline:2px solid var(--main);outline-offset:2px}
.over,.note,figcaption,footer,caption{color:var(--soft);font-size:.875rem}
.over{margin:0}
nav{margin:1.5rem 0 0;padding:.6rem 0;border-block:1px solid var(--line);font-size:.875rem}
nav ul{display:flex;flex-wrap:wrap;gap:.25rem 1.25rem;list-style:none;margin:0;padding:0}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:1.25rem 1.5rem;margin:1.75rem 0 0}
.facts div{border-top:2px solid var(--line);padding-top:.5rem}
.facts div.alarm{border-color:var(--gap)}
.facts dt{color:var(--soft);font-size:.875rem}
.facts dd{margin:0;font-size:1.5rem;font-weight:600;line-height:1.25}
.facts dd small{display:block;color:var(--soft);font-size:.8125rem;font-weight:400;line-height:1.4;margin-top:.2rem}
table{border-collapse:collapse;width:100%;font-size:.9375rem;margin:.25rem 0 1rem}
caption{text-align:left;padding:0 0 .4rem}
th,td{padding:.45rem .75rem .45rem 0;text-align:right;vertical-align:top;border-bottom:1px solid var(--line);font-weight:400}
bdi{overflow-wrap:anywhere}
td{white-space:nowrap}
td.text,td.when{white-space:normal}
td.basis{min-width:6.5rem}
th:last-child,td:last-child{padding-right:0}
thead th,thead td{color:var(--soft);font-size:.8125rem;vertical-align:bottom;border-bottom-color:var(--soft);white-space:nowrap}
th.text,td.text,tbody th{text-align:left}
tbody th{min-width:7rem}
tfoot th,tfoot td{font-weight:650;border-bottom:0;text-align:right}
tfoot th{text-align:left}
td.missing,strong.missing{color:var(--gap);font-weight:650}
td.draw{width:22%;min-width:6rem}
td small,th small{display:block;color:var(--soft);font-size:.8125rem;font-weight:400}
.scroll{overflow-x:auto}
svg{display:block;width:100%;overflow:visible}
.bar{height:.625rem;margin-top:.45rem}
.bar .rest{fill:var(--rest)}.bar .part{fill:var(--main)}.bar .beyond{fill:var(--gap)}
.big .bar{height:1.25rem;margin:0}
.spark{height:1.5rem}
.plot{display:grid;grid-template-columns:auto 1fr;gap:.5rem .6rem;margin:1rem 0 .5rem;font-size:.8125rem;color:var(--soft)}
.plot svg{height:12rem}
.plot .y{display:flex;flex-direction:column;justify-content:space-between;text-align:right;margin:-.6em 0;line-height:1.2}
.plot .x{grid-column:2;display:flex;justify-content:space-between}
path{fill:none;vector-effect:non-scaling-stroke}
.grid{stroke:var(--line);stroke-width:1}
.upper{stroke:var(--main);stroke-width:2}
.lower{stroke:var(--ink);stroke-width:1.5;stroke-dasharray:5 3}
.between{fill:var(--wash)}
.gap .upper{stroke:var(--gap)}
.gap .lower{stroke:none}
.spark .upper,.spark .lower{stroke-width:1.5}
figure{margin:0}
.key{display:flex;flex-wrap:wrap;gap:.1rem 1.25rem;list-style:none;margin:0;padding:0;font-size:.8125rem;color:var(--soft)}
.key svg{display:inline-block;width:1.5rem;height:.6rem;margin-right:.4rem}
.tenant{margin-top:1.75rem}
.tenant h3{border-top:1px solid var(--line);padding-top:1.25rem}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,20rem),1fr));gap:0 2.5rem;margin-top:1.25rem}
footer{margin-top:3.5rem;padding-top:1rem;padding-bottom:3rem;border-top:1px solid var(--line)}
@media (max-width:40rem){.more{display:none}table{font-size:.875rem}th,td{padding-right:.5rem}thead th{white-space:normal}tbody th{min-width:5rem}td.draw{width:25%;min-width:3rem}header{padding-top:1.5rem}h2{margin-top:2.5rem}}
@page{size:A4;margin:16mm 14mm 18mm;@bottom-right{content:counter(page) " / " counter(pages);font:9pt system-ui,sans-serif;color:#57606a}}
@media print{:root{color-scheme:light}body{font-size:10pt;print-color-adjust:exact;-webkit-print-color-adjust:exact}header,main,footer{max-width:none;padding:0}header{padding-top:0}nav{display:none}h1{font-size:22pt}h2{margin-top:18pt;font-size:14pt}h2,h3,h4,caption{break-after:avoid}thead{display:table-header-group}tfoot{display:table-row-group}tr,figure,.facts,.plot,.bars,.pair,.tenant{break-inside:avoid}tbody tr:first-child{break-before:avoid}table{font-size:9pt}.facts{grid-template-columns:repeat(4,1fr)}.plot svg{height:4.5cm}.scroll{overflow:visible}a{color:inherit;text-decoration:none}}
';
COMMENT ON FUNCTION eiot.page_style() IS
  'The style sheet of a page: light and dark by the reader''s setting, narrow screens, A4; the page names its hash, so that no other is applied';

CREATE FUNCTION eiot.html_page(title text, body text) RETURNS text
  LANGUAGE sql STABLE STRICT PARALLEL SAFE COST 100
  RETURN pg_catalog.format(
    '<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8"/>
<meta http-equiv="Content-Security-Policy" content="default-src ''none''; style-src ''sha256-%s''; base-uri ''none''; form-action ''none''"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<meta name="color-scheme" content="light dark"/>
<meta name="referrer" content="no-referrer"/>
<title>%s</title>
<style>%s</style>
</head>
<body>
%s
</body>
</html>
', pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(eiot.page_style(), 'UTF8')), 'base64'), title, eiot.page_style(), body);
COMMENT ON FUNCTION eiot.html_page(text, text) IS
  'A page of a body that is HTML already: no script, no network, one style sheet named by its hash; well-formed XML as well; null of null';

CREATE FUNCTION eiot.html_bars(caption text, head text, value_head text, labels text[], "values" bigint[], parts bigint[]) RETURNS text
  LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE COST 1000
BEGIN ATOMIC
  SELECT pg_catalog.format(
           '<table class="bars"><caption>%s</caption><thead><tr><th scope="col" class="text">%s</th><th scope="col">%s</th>%s<td class="draw"></td></tr></thead><tbody>%s</tbody></table>',
           html_bars.caption, html_bars.head, html_bars.value_head,
           CASE WHEN html_bars.parts IS NOT NULL THEN '<th scope="col">Count</th>' ELSE '' END,
           pg_catalog.string_agg(
             pg_catalog.format('<tr><th scope="row">%s</th><td>%s</td>%s<td class="draw">%s</td></tr>',
               v.label, eiot.html_number(v.value),
               CASE WHEN html_bars.parts IS NOT NULL THEN '<td>' || eiot.html_number(v.part) || '</td>' ELSE '' END,
               eiot.svg_bar(v.value, 0, (SELECT pg_catalog.max(w.w) FROM pg_catalog.unnest(html_bars."values") w(w)))),
             '' ORDER BY v.i))
    FROM ROWS FROM (pg_catalog.unnest(html_bars.labels), pg_catalog.unnest(html_bars."values"), pg_catalog.unnest(html_bars.parts))
         WITH ORDINALITY v(label, value, part, i);
END;
COMMENT ON FUNCTION eiot.html_bars(text, text, text, text[], bigint[], bigint[]) IS
  'A table with a bar to each row, as long as its value against the largest; parts, where not null, are a column "Count"; the texts are HTML already';
