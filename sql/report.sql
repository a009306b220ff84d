-- What a report says, and the reports that are stored by a schedule.

-- Devices by tenant, class and reason.

CREATE FUNCTION eiot.breakdown_query(inventory regclass, as_of text, known_by text) RETURNS text
  LANGUAGE sql STABLE STRICT PARALLEL SAFE COST 50
  SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
  SELECT format($query$
SELECT t.tenant_id,
       t.name AS tenant,
       d.class,
       CASE WHEN r.name IS NOT NULL
            THEN eiot.count_reason_under(d.class, d.onboarding_status, d.last_seen, %2$s, r, d.merged_into, d.excluded, d.transient, d.ip) END AS reason,
       pg_catalog.count(*) AS devices,
       pg_catalog.max(d.last_seen) AS last_seen
  FROM eiot.tenant t
  JOIN %1$s d ON d.tenant_id OPERATOR(pg_catalog.=) t.tenant_id
  LEFT JOIN eiot.counting_rule r
    ON CASE WHEN t.counting_rule IS NULL
            THEN r.valid OPERATOR(pg_catalog.@>) CAST(pg_catalog.timezone('UTC', %2$s) AS pg_catalog.date)
            ELSE r.name OPERATOR(pg_catalog.=) t.counting_rule END
 WHERE d.first_seen OPERATOR(pg_catalog.<=) %3$s OR d.first_seen IS NULL
 GROUP BY 1, 2, 3, 4$query$,
    breakdown_query.inventory, breakdown_query.as_of, breakdown_query.known_by);
END;
COMMENT ON FUNCTION eiot.breakdown_query(regclass, text, text) IS
  'The text of a query for an inventory''s devices by tenant, class and reason, those first seen by known_by; both are SQL expressions of type timestamptz';

-- What a report is drawn from, read once.

CREATE TYPE eiot.report_line AS (
  place bigint,
  tenant_id uuid,
  tenant text,
  devices bigint,
  counted bigint,
  capacity bigint,
  unlimited boolean,
  gap bigint,
  surplus bigint,
  utilization numeric,
  rule text,
  licenses_at timestamptz
);
COMMENT ON TYPE eiot.report_line IS 'A tenant of a report: its coverage at the end of the period';
COMMENT ON COLUMN eiot.report_line.place IS 'Place in the report, from 1: the largest gap first, then the fullest';
COMMENT ON COLUMN eiot.report_line.tenant_id IS 'Tenant';
COMMENT ON COLUMN eiot.report_line.tenant IS 'Its name';
COMMENT ON COLUMN eiot.report_line.devices IS 'Devices of any kind';
COMMENT ON COLUMN eiot.report_line.counted IS 'Devices that count; null where no rule is in force';
COMMENT ON COLUMN eiot.report_line.capacity IS 'Devices that its licenses cover; null beside unlimited = true';
COMMENT ON COLUMN eiot.report_line.unlimited IS 'Do its licenses cover any number?';
COMMENT ON COLUMN eiot.report_line.gap IS 'Standalone licenses missing; null where no rule is in force';
COMMENT ON COLUMN eiot.report_line.surplus IS 'Devices that could still be covered; null where unlimited';
COMMENT ON COLUMN eiot.report_line.utilization IS 'Counted devices divided by capacity; null where that is 0 or unlimited';
COMMENT ON COLUMN eiot.report_line.rule IS 'Counting rule; null where none is in force';
COMMENT ON COLUMN eiot.report_line.licenses_at IS 'When its licenses were last imported; null: never';

CREATE TYPE eiot.report_count AS (
  tenant_id uuid,
  class eiot.device_class,
  reason eiot.count_reason,
  devices bigint,
  last_seen timestamptz
);
COMMENT ON TYPE eiot.report_count IS 'Devices of a tenant that have one class and one reason';
COMMENT ON COLUMN eiot.report_count.tenant_id IS 'Tenant';
COMMENT ON COLUMN eiot.report_count.class IS 'Class';
COMMENT ON COLUMN eiot.report_count.reason IS 'Why they count or do not; null where no rule is in force';
COMMENT ON COLUMN eiot.report_count.devices IS 'How many';
COMMENT ON COLUMN eiot.report_count.last_seen IS 'When the last of them was seen';

CREATE TYPE eiot.report_series AS (
  tenant_id uuid,
  first_gap bigint,
  counted bigint[],
  capacity bigint[],
  gap bigint[],
  max_gap bigint,
  max_gap_at timestamptz
);
COMMENT ON TYPE eiot.report_series IS 'Coverage of a tenant over the period, in even steps; the last ends with the period';
COMMENT ON COLUMN eiot.report_series.tenant_id IS 'Tenant';
COMMENT ON COLUMN eiot.report_series.first_gap IS 'Standalone licenses missing when the period began';
COMMENT ON COLUMN eiot.report_series.counted IS 'Devices that count at the end of each step; null where no rule is in force';
COMMENT ON COLUMN eiot.report_series.capacity IS 'Devices that its licenses cover then; null where unlimited';
COMMENT ON COLUMN eiot.report_series.gap IS 'Standalone licenses missing then';
COMMENT ON COLUMN eiot.report_series.max_gap IS 'The largest gap at any instant of the period';
COMMENT ON COLUMN eiot.report_series.max_gap_at IS 'The first instant of it; null where there was none';

CREATE FUNCTION eiot.report_counts(inventory regclass, tenant_id uuid, as_of timestamptz) RETURNS eiot.report_count[]
  LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL SAFE COST 10000
  SET search_path = pg_catalog, pg_temp
  AS $$
DECLARE
  counts eiot.report_count[];
BEGIN
  EXECUTE format('SELECT array_agg(ROW(b.tenant_id, b.class, b.reason, b.devices, b.last_seen)::eiot.report_count)
                    FROM (%s) b
                   WHERE $2 IS NULL OR b.tenant_id = $2', eiot.breakdown_query(inventory, '$1', '$1'))
     INTO counts USING as_of, tenant_id;
  RETURN COALESCE(counts, '{}');
END
$$;
COMMENT ON FUNCTION eiot.report_counts(regclass, uuid, timestamptz) IS
  'Devices of the tenants of a report, or of the one of tenant_id, by class and reason; those first seen later were not there';

CREATE FUNCTION eiot.report_lines(tenant_id uuid, as_of timestamptz, counts eiot.report_count[]) RETURNS eiot.report_line[]
  LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE COST 10000
BEGIN ATOMIC
  SELECT COALESCE(pg_catalog.array_agg(ROW(l.*)::eiot.report_line ORDER BY l.place), '{}')
    FROM (SELECT pg_catalog.row_number() OVER (ORDER BY eiot.gap(v.coverage) DESC NULLS LAST, eiot.utilization(v.coverage) DESC NULLS LAST,
                                                        t.name, t.tenant_id) AS place,
                 t.tenant_id, t.name, COALESCE(n.devices, 0),
                 eiot.devices(v.coverage), NULLIF(c.capacity, eiot.unlimited()), c.capacity = eiot.unlimited(),
                 eiot.gap(v.coverage), NULLIF(eiot.surplus(v.coverage), eiot.unlimited()), eiot.utilization(v.coverage),
                 r.name, t.entitlements_as_of
            FROM eiot.tenant t
            LEFT JOIN eiot.counting_rule r
              ON CASE WHEN t.counting_rule IS NULL THEN r.valid @> (report_lines.as_of AT TIME ZONE 'UTC')::date
                      ELSE r.name = t.counting_rule END
            LEFT JOIN (SELECT d.tenant_id, pg_catalog.sum(d.devices)::bigint AS devices,
                              (pg_catalog.sum(d.devices) FILTER (WHERE d.reason = 'counted'))::bigint AS counted
                         FROM pg_catalog.unnest(report_lines.counts) d
                        GROUP BY d.tenant_id) n ON n.tenant_id = t.tenant_id
            LEFT JOIN eiot.licensed_capacity(report_lines.as_of) p ON p.tenant_id = t.tenant_id
           CROSS JOIN LATERAL COALESCE(p.capacity, 0::bigint) c(capacity)
           CROSS JOIN LATERAL (SELECT CASE WHEN r.name IS NOT NULL THEN eiot.coverage(COALESCE(n.counted, 0), c.capacity) END AS coverage) v
           WHERE report_lines.tenant_id IS NULL OR t.tenant_id = report_lines.tenant_id) l;
END;
COMMENT ON FUNCTION eiot.report_lines(uuid, timestamptz, eiot.report_count[]) IS 'The tenants of a report, or the one of tenant_id';

CREATE FUNCTION eiot.report_series(inventory regclass, tenant_id uuid, since timestamptz, until timestamptz, lines eiot.report_line[])
  RETURNS eiot.report_series[]
  LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE COST 100000
BEGIN ATOMIC
  -- In steps of whole days (UTC), at most 93 of them.  A timeline has the beginnings of its steps: the beginning of the
  -- next one is the end of a step, and the end of the last one is the report's own line.
  SELECT COALESCE(pg_catalog.array_agg(ROW(l.tenant_id, s.gap[1],
                    s.counted[2:] || l.counted, s.capacity[2:] || l.capacity, s.gap[2:] || l.gap,
                    greatest(s.max_gap, l.gap), CASE WHEN l.gap > s.max_gap THEN report_series.until ELSE s.max_gap_at END)::eiot.report_series), '{}')
    FROM pg_catalog.unnest(report_series.lines) l
    JOIN (SELECT p.tenant_id, pg_catalog.array_agg(p.counted ORDER BY p.at) AS counted, pg_catalog.array_agg(p.capacity ORDER BY p.at) AS capacity,
                 pg_catalog.array_agg(p.gap ORDER BY p.at) AS gap, pg_catalog.max(p.max_gap) AS max_gap,
                 (pg_catalog.array_agg(p.max_gap_at ORDER BY p.max_gap DESC NULLS LAST, p.at))[1] AS max_gap_at
            FROM eiot.coverage_timeline(report_series.inventory, report_series.since, report_series.until,
                   pg_catalog.make_interval(hours => 24 * pg_catalog.ceil(
                     EXTRACT(epoch FROM report_series.until - report_series.since) / 86400 / 93)::integer),
                   report_series.tenant_id) p
           GROUP BY p.tenant_id) s ON s.tenant_id = l.tenant_id;
END;
COMMENT ON FUNCTION eiot.report_series(regclass, uuid, timestamptz, timestamptz, eiot.report_line[]) IS
  'Coverage of the tenants of a report over its period, or of the one of tenant_id';

-- The sections, each of them HTML.

CREATE FUNCTION eiot.report_headline(lines eiot.report_line[]) RETURNS text
  LANGUAGE sql STABLE STRICT PARALLEL SAFE COST 1000
BEGIN ATOMIC
  SELECT CASE
           WHEN s.tenants = 0 THEN 'There are no tenants to report on'
           WHEN s.ruled = 0 THEN 'No counting rule is in force'
           WHEN s.tenants = 1 THEN
             pg_catalog.format(CASE WHEN s.gap = 0 THEN '%s has all the licenses it needs'
                                    ELSE '%s is missing <em>%s</em>' END,
                               eiot.html_label(s.tenant), eiot.html_count(s.gap, 'license', 'licenses'))
           WHEN s.gap = 0 THEN
             pg_catalog.format('No license is missing in %s', eiot.html_count(s.ruled, 'tenant', 'tenants'))
           ELSE
             pg_catalog.format('<em>%s</em> %s missing in %s of %s', eiot.html_count(s.gap, 'license', 'licenses'),
                               CASE s.gap WHEN 1 THEN 'is' ELSE 'are' END, eiot.html_number(s.short),
                               eiot.html_count(s.ruled, 'tenant', 'tenants'))
         END
    FROM (SELECT pg_catalog.count(*) AS tenants, pg_catalog.count(l.gap) AS ruled, pg_catalog.min(l.tenant) AS tenant,
                 pg_catalog.sum(l.gap) AS gap, pg_catalog.count(*) FILTER (WHERE l.gap > 0) AS short
            FROM pg_catalog.unnest(report_headline.lines) l) s;
END;
COMMENT ON FUNCTION eiot.report_headline(eiot.report_line[]) IS 'The sentence with the number that matters';

CREATE FUNCTION eiot.report_facts(lines eiot.report_line[], series eiot.report_series[], first text) RETURNS text
  LANGUAGE sql STABLE STRICT PARALLEL SAFE COST 1000
BEGIN ATOMIC
  SELECT pg_catalog.format(
           '<dl class="facts">'
           '<div%s><dt>Licenses missing</dt><dd>%s<small>%s</small></dd></div>'
           '<div><dt>Devices that count</dt><dd>%s<small>of %s in the inventory</small></dd></div>'
           '<div><dt>Covered by licenses</dt><dd>%s<small>%s</small></dd></div>'
           '<div><dt>Room left</dt><dd>%s<small>%s</small></dd></div></dl>',
           CASE WHEN s.gap > 0 THEN ' class="alarm"' ELSE '' END,
           eiot.html_number(s.gap),
           pg_catalog.format('%s when %s began', eiot.html_number((SELECT COALESCE(pg_catalog.sum(f.first_gap), 0) FROM pg_catalog.unnest(report_facts.series) f)), report_facts.first),
           eiot.html_number(s.counted), eiot.html_number(s.devices),
           eiot.html_number(s.counted - s.gap),
           CASE WHEN s.counted > 0 THEN eiot.html_percent((s.counted - s.gap) / s.counted) || ' of those that count' ELSE 'nothing to cover' END,
           eiot.html_number(s.surplus),
           CASE WHEN s.without_limit > 0 AND s.tenants = 1 THEN 'its capacity is unlimited'
                WHEN s.without_limit > 0 THEN 'devices more, and ' || eiot.html_count(s.without_limit, 'tenant', 'tenants') || ' without limit'
                WHEN s.tenants = 1 THEN 'devices more' ELSE 'devices more, tenant by tenant' END)
    FROM (SELECT pg_catalog.count(*) AS tenants, COALESCE(pg_catalog.sum(l.gap), 0) AS gap,
                 COALESCE(pg_catalog.sum(l.devices), 0) AS devices, COALESCE(pg_catalog.sum(l.counted), 0) AS counted,
                 COALESCE(pg_catalog.sum(l.surplus), 0) AS surplus, pg_catalog.count(*) FILTER (WHERE l.unlimited) AS without_limit
            FROM pg_catalog.unnest(report_facts.lines) l) s;
END;
COMMENT ON FUNCTION eiot.report_facts(eiot.report_line[], eiot.report_series[], text) IS 'The figures below the headline';

CREATE FUNCTION eiot.report_tenants(lines eiot.report_line[], series eiot.report_series[], detailed bigint) RETURNS text
  LANGUAGE sql STABLE STRICT PARALLEL SAFE COST 10000
BEGIN ATOMIC
  WITH tenant AS (
    SELECT l.*,
           CASE WHEN l.gap > 0 AND l.place <= report_tenants.detailed
                THEN pg_catalog.format('<a href="#t%s">%s</a>', l.place, eiot.html_label(l.tenant)) ELSE eiot.html_label(l.tenant) END
           -- A name that several have says nothing.
           || CASE WHEN pg_catalog.count(*) OVER (PARTITION BY l.tenant) > 1 THEN pg_catalog.format('<small>%s</small>', l.tenant_id) ELSE '' END AS label,
           CASE WHEN s.max_gap > l.gap
                THEN pg_catalog.format('<small>up to %s missing, %s</small>', eiot.html_number(s.max_gap), pg_catalog.left(eiot.html_instant(s.max_gap_at), 10)) ELSE '' END AS worst,
           s.counted AS counted_over, s.capacity AS capacity_over
      FROM pg_catalog.unnest(report_tenants.lines) l
      LEFT JOIN pg_catalog.unnest(report_tenants.series) s ON s.tenant_id = l.tenant_id)
  SELECT CASE WHEN pg_catalog.count(*) FILTER (WHERE t.gap > 0) > 0 THEN
           pg_catalog.format(
             '<section aria-labelledby="missing"><h2 id="missing">Tenants that are missing licenses</h2>'
             '<table><caption>%s, the largest gap first. Below a name: the most that was missing in the period, and since when.</caption>'
             '<thead><tr><th scope="col" class="text">Tenant</th><th scope="col">Devices<br/>that count</th><th scope="col">Covered by<br/>licenses</th>'
             '<th scope="col">Missing</th><th scope="col" class="more">Used</th><th scope="col" class="more text">Over the period</th></tr></thead>'
             '<tbody>%s</tbody><tfoot><tr><th scope="row">All of them</th><td>%s</td><td>%s</td><td class="missing">%s</td><td class="more"></td><td class="more"></td></tr></tfoot></table></section>',
             eiot.html_count(pg_catalog.count(*) FILTER (WHERE t.gap > 0), 'tenant', 'tenants'),
             pg_catalog.string_agg(
               pg_catalog.format('<tr><th scope="row">%s%s</th><td>%s</td><td>%s</td><td class="missing">%s</td><td class="more">%s</td><td class="more draw">%s</td></tr>' || E'\n',
                 t.label, t.worst, eiot.html_number(t.counted), eiot.html_number(t.capacity), eiot.html_number(t.gap),
                 COALESCE(eiot.html_percent(t.utilization), '&#8211;'),
                 CASE WHEN t.counted_over IS NULL THEN eiot.svg_bar(t.counted, t.gap, t.counted)
                      ELSE eiot.svg_spark(t.counted_over, t.capacity_over, 'Devices that count, and capacity') END),
               '' ORDER BY t.place) FILTER (WHERE t.gap > 0),
             eiot.html_number(pg_catalog.sum(t.counted) FILTER (WHERE t.gap > 0)),
             eiot.html_number(pg_catalog.sum(t.capacity) FILTER (WHERE t.gap > 0)),
             eiot.html_number(pg_catalog.sum(t.gap)))
           ELSE '' END
      || CASE WHEN pg_catalog.count(*) FILTER (WHERE t.gap = 0) > 0 THEN
           pg_catalog.format(
             '<section aria-labelledby="covered"><h2 id="covered">Tenants that are covered</h2>'
             '<table><caption>%s, the fullest first. Below a name: the most that was missing in the period, and since when.</caption>'
             '<thead><tr><th scope="col" class="text">Tenant</th><th scope="col">Devices<br/>that count</th><th scope="col">Covered by<br/>licenses</th>'
             '<th scope="col" class="more">Room left</th><th scope="col">Used</th><td class="more"></td></tr></thead><tbody>%s</tbody></table></section>',
             eiot.html_count(pg_catalog.count(*) FILTER (WHERE t.gap = 0), 'tenant', 'tenants'),
             pg_catalog.string_agg(
               pg_catalog.format('<tr><th scope="row">%s%s</th><td>%s</td><td>%s</td><td class="more">%s</td><td>%s</td><td class="more draw">%s</td></tr>' || E'\n',
                 t.label, t.worst, eiot.html_number(t.counted), COALESCE(eiot.html_number(t.capacity), 'unlimited'),
                 COALESCE(eiot.html_number(t.surplus), 'unlimited'), COALESCE(eiot.html_percent(t.utilization), '&#8211;'),
                 CASE WHEN t.capacity > 0 THEN eiot.svg_bar(t.counted, 0, t.capacity) ELSE '' END),
               '' ORDER BY t.place) FILTER (WHERE t.gap = 0))
           ELSE '' END
      || CASE WHEN pg_catalog.count(*) FILTER (WHERE t.gap IS NULL) > 0 THEN
           pg_catalog.format(
             '<section aria-labelledby="unruled"><h2 id="unruled">Tenants without a counting rule</h2>'
             '<p>No rule was in force for them, so nothing says which devices count.</p><ul>%s</ul></section>',
             pg_catalog.string_agg('<li>' || t.label || '</li>', '' ORDER BY t.place) FILTER (WHERE t.gap IS NULL))
           ELSE '' END
    FROM tenant t;
END;
COMMENT ON FUNCTION eiot.report_tenants(eiot.report_line[], eiot.report_series[], bigint) IS
  'The tables of tenants: missing licenses, covered, without a rule; the first detailed ones link to their sections';

CREATE FUNCTION eiot.report_reasons(counts eiot.report_count[], tenant_id uuid) RETURNS text
  LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE COST 1000
BEGIN ATOMIC
  SELECT eiot.html_bars('Devices by reason, the first that applies', 'Reason', 'Devices',
                        pg_catalog.array_agg(r.label ORDER BY r.reason), pg_catalog.array_agg(r.devices ORDER BY r.reason), NULL)
    FROM (SELECT c.reason, pg_catalog.sum(c.devices)::bigint AS devices,
                 CASE c.reason
                   WHEN 'counted' THEN 'Counts'
                   WHEN 'not_iot' THEN 'Of a class that does not count'
                   WHEN 'managed' THEN 'Managed by Defender for Endpoint'
                   WHEN 'inactive' THEN 'Not seen for too long'
                   WHEN 'merged' THEN 'Merged into another device'
                   WHEN 'excluded' THEN 'Excluded by somebody'
                   WHEN 'transient' THEN 'Seen for a short time only'
                   WHEN 'not_a_device' THEN 'Its address is no device''s'
                   ELSE 'No rule in force' END AS label
            FROM pg_catalog.unnest(report_reasons.counts) c
           WHERE report_reasons.tenant_id IS NULL OR c.tenant_id = report_reasons.tenant_id
           GROUP BY c.reason) r;
END;
COMMENT ON FUNCTION eiot.report_reasons(eiot.report_count[], uuid) IS
  'Devices by the reason for which they count or do not, of one tenant or (null) of all; null without any';

CREATE FUNCTION eiot.report_classes(counts eiot.report_count[], tenant_id uuid) RETURNS text
  LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE COST 1000
BEGIN ATOMIC
  SELECT eiot.html_bars('Devices by class, as the Defender inventory divides them', 'Class', 'Devices',
                        pg_catalog.array_agg(r.label ORDER BY r.devices DESC, r.class), pg_catalog.array_agg(r.devices ORDER BY r.devices DESC, r.class),
                        pg_catalog.array_agg(r.counted ORDER BY r.devices DESC, r.class))
    FROM (SELECT c.class, pg_catalog.sum(c.devices)::bigint AS devices,
                 COALESCE(pg_catalog.sum(c.devices) FILTER (WHERE c.reason = 'counted'), 0)::bigint AS counted,
                 CASE c.class WHEN 'iot' THEN 'IoT' WHEN 'ot' THEN 'OT' WHEN 'bms' THEN 'Building management'
                              ELSE pg_catalog.initcap(c.class::text) END AS label
            FROM pg_catalog.unnest(report_classes.counts) c
           WHERE report_classes.tenant_id IS NULL OR c.tenant_id = report_classes.tenant_id
           GROUP BY c.class) r;
END;
COMMENT ON FUNCTION eiot.report_classes(eiot.report_count[], uuid) IS
  'Devices by class, and how many of each count, of one tenant or (null) of all; null without any';

CREATE FUNCTION eiot.report_licenses(tenant_id uuid, as_of timestamptz) RETURNS text
  LANGUAGE sql STABLE STRICT PARALLEL SAFE COST 1000
BEGIN ATOMIC
  SELECT CASE WHEN pg_catalog.count(*) FILTER (WHERE e.devices_per_unit > 0) > 0 THEN
           pg_catalog.format(
             '<table><caption>Licenses at the end of the period</caption><thead><tr><th scope="col" class="text">Product</th><th scope="col">Units</th>'
             '<th scope="col">Devices<br/>a unit</th><th scope="col">Covers</th></tr></thead><tbody>%s</tbody></table>',
             pg_catalog.string_agg(
               pg_catalog.format('<tr><th scope="row">%s%s</th><td>%s%s</td><td>%s</td><td>%s</td></tr>',
                 eiot.html_label(e.name), COALESCE('<small>' || eiot.html_label(e.part_number) || '</small>', ''),
                 CASE e.units WHEN eiot.unlimited() THEN 'unlimited' ELSE eiot.html_number(e.units) END,
                 CASE e.state WHEN 'enabled' THEN '' WHEN 'warning' THEN '<small>in the grace period</small>'
                              WHEN 'suspended' THEN '<small>suspended</small>' ELSE '<small>locked out</small>' END,
                 eiot.html_number(e.devices_per_unit),
                 CASE e.capacity WHEN eiot.unlimited() THEN 'unlimited' ELSE eiot.html_number(e.capacity) END),
               '' ORDER BY e.capacity DESC, e.name, e.state, e.entitlement_id) FILTER (WHERE e.devices_per_unit > 0))
           ELSE '<h4>Licenses at the end of the period</h4><p>None that covers devices.</p>' END
      || CASE WHEN pg_catalog.count(*) FILTER (WHERE e.devices_per_unit = 0) > 0 THEN
           pg_catalog.format('<p class="note">And %s, which %s no devices.</p>',
                             eiot.html_count(pg_catalog.count(DISTINCT e.sku_id) FILTER (WHERE e.devices_per_unit = 0), 'other product', 'other products'),
                             CASE pg_catalog.count(DISTINCT e.sku_id) FILTER (WHERE e.devices_per_unit = 0) WHEN 1 THEN 'covers' ELSE 'cover' END)
           ELSE '' END
    FROM (SELECT n.entitlement_id, n.sku_id, n.units, n.state, s.name, s.part_number, s.devices_per_unit,
                 COALESCE((SELECT pg_catalog.max(c.capacity) FROM eiot.entitlement_capacity c
                            WHERE c.entitlement_id = n.entitlement_id AND c.valid @> report_licenses.as_of), 0) AS capacity
            FROM eiot.entitlement n
            JOIN eiot.sku s ON s.sku_id = n.sku_id
           WHERE n.tenant_id = report_licenses.tenant_id AND n.valid @> report_licenses.as_of AND n.units > 0) e;
END;
COMMENT ON FUNCTION eiot.report_licenses(uuid, timestamptz) IS 'What a tenant holds, and what that covers';

CREATE FUNCTION eiot.report_key() RETURNS text
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 1
  RETURN '<ul class="key"><li><svg viewBox="0 0 24 10" aria-hidden="true" focusable="false"><path class="upper" d="M0 5H24"/></svg>Devices that count</li>'
    || '<li><svg viewBox="0 0 24 10" aria-hidden="true" focusable="false"><path class="lower" d="M0 5H24"/></svg>Covered by licenses</li>'
    || '<li><svg viewBox="0 0 24 10" aria-hidden="true" focusable="false"><path class="between" d="M0 0H24V10H0Z"/></svg>Missing</li></ul>';
COMMENT ON FUNCTION eiot.report_key() IS 'What the lines of a coverage chart are';

CREATE FUNCTION eiot.report_coverage(series eiot.report_series, place bigint, first text, last text) RETURNS text
  LANGUAGE sql STABLE STRICT PARALLEL SAFE COST 1000
  RETURN '<figure>'
    || eiot.svg_chart('coverage', (series).counted, (series).capacity, 'c' || place,
         'Devices that count, against what licenses cover',
         pg_catalog.format('From %s to %s: devices that count between %s and %s, licenses for %s. %s', first, last,
           (SELECT eiot.html_number(pg_catalog.min(v.v)) FROM pg_catalog.unnest((series).counted) v(v)),
           (SELECT eiot.html_number(pg_catalog.max(v.v)) FROM pg_catalog.unnest((series).counted) v(v)),
           (SELECT CASE WHEN pg_catalog.count(v.v) = 0 THEN 'any number'
                        WHEN pg_catalog.min(v.v) = pg_catalog.max(v.v) THEN eiot.html_number(pg_catalog.max(v.v))
                        ELSE pg_catalog.format('%s to %s', eiot.html_number(pg_catalog.min(v.v)), eiot.html_number(pg_catalog.max(v.v))) END
              FROM pg_catalog.unnest((series).capacity) v(v)),
           CASE WHEN (series).max_gap > 0
                THEN pg_catalog.format('Most were missing at %s: %s.', eiot.html_instant((series).max_gap_at), eiot.html_number((series).max_gap))
                ELSE 'None was missing at any time.' END),
         first, last)
    || eiot.report_key() || '</figure>';
COMMENT ON FUNCTION eiot.report_coverage(eiot.report_series, bigint, text, text) IS 'The chart of a tenant''s coverage over the period; null of null';

CREATE FUNCTION eiot.report_details(lines eiot.report_line[], series eiot.report_series[], counts eiot.report_count[],
                                    detailed bigint, as_of timestamptz, first text, last text) RETURNS text
  LANGUAGE sql STABLE STRICT PARALLEL SAFE COST 10000
BEGIN ATOMIC
  SELECT pg_catalog.string_agg(
           pg_catalog.format(
             '<section class="tenant" aria-labelledby="t%1$s"><h%2$s id="t%1$s">%3$s</h%2$s><p class="over">%4$s</p>'
             '<p>%s of %s count, and the licenses cover %s. %s</p>%s<div class="pair"><div>%s</div>%s</div></section>' || E'\n',
             l.place, CASE pg_catalog.cardinality(report_details.lines) WHEN 1 THEN 2 ELSE 3 END, eiot.html_label(l.tenant), l.tenant_id,
             eiot.html_number(l.counted), eiot.html_count(l.devices, 'device', 'devices'), COALESCE(eiot.html_number(l.capacity), 'any number'),
             CASE WHEN l.gap > 0 THEN pg_catalog.format('<strong class="missing">%s missing.</strong>', eiot.html_count(l.gap, 'license is', 'licenses are'))
                  WHEN l.unlimited THEN 'None is missing.'
                  ELSE pg_catalog.format('None is missing; there is room for %s.', eiot.html_count(l.surplus, 'device more', 'devices more')) END,
             COALESCE(eiot.report_coverage(s, l.place, report_details.first, report_details.last), ''),
             eiot.report_licenses(l.tenant_id, report_details.as_of),
             -- About one tenant the page has a section for these.
             CASE WHEN pg_catalog.cardinality(report_details.lines) > 1
                  THEN pg_catalog.format('<div>%s</div>', COALESCE(eiot.report_reasons(report_details.counts, l.tenant_id), '<p>It has no devices.</p>'))
                  ELSE '' END),
           '' ORDER BY l.place)
    FROM pg_catalog.unnest(report_details.lines) l
    LEFT JOIN pg_catalog.unnest(report_details.series) s ON s.tenant_id = l.tenant_id
   WHERE l.place <= report_details.detailed AND l.gap >= CASE pg_catalog.cardinality(report_details.lines) WHEN 1 THEN 0 ELSE 1 END;
END;
COMMENT ON FUNCTION eiot.report_details(eiot.report_line[], eiot.report_series[], eiot.report_count[], bigint, timestamptz, text, text) IS
  'A section to each of the first tenants that are missing licenses, or to the only one; null without any';

CREATE FUNCTION eiot.report_trend(series eiot.report_series[], first text, last text) RETURNS text
  LANGUAGE sql STABLE STRICT PARALLEL SAFE COST 10000
BEGIN ATOMIC
  SELECT '<section aria-labelledby="trend"><h2 id="trend">The gap over the period</h2><p>'
      || pg_catalog.format('%s missing when the period began, %s when it ended.', eiot.html_count(s.first_gap, 'license was', 'licenses were'),
                           eiot.html_number(s.last_gap))
      || '</p><figure><figcaption>Licenses missing at the end of each step, all tenants together</figcaption>'
      || eiot.svg_chart('gap', s.gaps, s.zeros, 'trend', 'Licenses missing over the period',
           pg_catalog.format('From %s to %s: %s at the beginning, %s at the end, between %s and %s.', report_trend.first, report_trend.last,
                             eiot.html_number(s.first_gap), eiot.html_number(s.last_gap), eiot.html_number(s.least), eiot.html_number(s.most)),
           report_trend.first, report_trend.last)
      || '</figure></section>'
    FROM (SELECT pg_catalog.array_agg(v.gap ORDER BY v.i) AS gaps, pg_catalog.array_agg(0::bigint) AS zeros,
                 pg_catalog.min(v.gap) AS least, pg_catalog.max(v.gap) AS most,
                 (SELECT COALESCE(pg_catalog.sum(f.first_gap), 0) FROM pg_catalog.unnest(report_trend.series) f) AS first_gap,
                 (pg_catalog.array_agg(v.gap ORDER BY v.i DESC))[1] AS last_gap
            FROM (SELECT g.i, least(COALESCE(pg_catalog.sum(g.gap), 0), eiot.unlimited())::bigint AS gap
                    FROM pg_catalog.unnest(report_trend.series) p
                   CROSS JOIN LATERAL pg_catalog.unnest(p.gap) WITH ORDINALITY g(gap, i)
                   GROUP BY g.i) v) s
   WHERE s.gaps IS NOT NULL;
END;
COMMENT ON FUNCTION eiot.report_trend(eiot.report_series[], text, text) IS 'The chart of all gaps over the period; null without a series';

CREATE FUNCTION eiot.report_cost(amount numeric, currency text, billing_frequency text) RETURNS text
  LANGUAGE sql STABLE STRICT PARALLEL SAFE COST 10
  RETURN pg_catalog.format('%s %s a %s', eiot.html_number(amount), eiot.html_escape(currency), eiot.html_escape(billing_frequency));
COMMENT ON FUNCTION eiot.report_cost(numeric, text, text) IS 'An amount as "4.80 EUR a month"; null of null';

CREATE FUNCTION eiot.report_purchase(lines eiot.report_line[], as_of timestamptz) RETURNS text
  LANGUAGE sql STABLE STRICT PARALLEL SAFE COST 10000
BEGIN ATOMIC
  WITH price AS (
    -- The price that is paid now, else the last one that was.
    SELECT DISTINCT ON (e.tenant_id, s.kind) e.tenant_id, s.kind, s.devices_per_unit, e.unit_price, e.currency, e.billing_frequency
      FROM eiot.entitlement e
      JOIN eiot.sku s ON s.sku_id = e.sku_id AND (s.kind = 'user_license' AND s.devices_per_unit > 0 OR s.kind = 'device_license' AND s.devices_per_unit = 1)
     WHERE e.unit_price IS NOT NULL AND COALESCE(pg_catalog.lower(e.valid), '-infinity') <= report_purchase.as_of
     ORDER BY e.tenant_id, s.kind, (e.valid @> report_purchase.as_of) DESC, e.valid DESC, e.unit_price, e.entitlement_id),
  short AS (
    SELECT l.place, l.tenant, l.gap, d.unit_price, d.currency, d.billing_frequency, u.unit_price AS user_price, u.currency AS user_currency, u.billing_frequency AS user_frequency,
           pg_catalog.ceil(l.gap::numeric / COALESCE(u.devices_per_unit, 5))::bigint AS user_licenses,
           m.user_licenses AS mix_users, m.device_licenses AS mix_devices, m.cost AS mix_cost
      FROM pg_catalog.unnest(report_purchase.lines) l
      LEFT JOIN price d ON d.tenant_id = l.tenant_id AND d.kind = 'device_license'
      LEFT JOIN price u ON u.tenant_id = l.tenant_id AND u.kind = 'user_license'
      -- The function wants a price whether it is asked or not.
      LEFT JOIN LATERAL eiot.cheapest_mix(l.gap, CASE WHEN d.currency = u.currency AND d.billing_frequency = u.billing_frequency
             THEN pg_catalog.jsonb_build_object('device_license', d.unit_price,
                    'user_license', pg_catalog.jsonb_build_object('price', u.unit_price, 'devices', u.devices_per_unit))
             ELSE '{"device_license": 1}' END) m
        ON d.currency = u.currency AND d.billing_frequency = u.billing_frequency
     WHERE l.gap > 0)
  SELECT pg_catalog.format(
           '<section aria-labelledby="purchase"><h2 id="purchase">What to buy</h2>'
           '<p>A standalone license covers one device, a Microsoft 365 E5 or E5 Security user license five. Costs are those of a whole billing cycle at the price that the tenant pays; %s.</p>'
           '<table><caption>Either of the two covers what is missing</caption><thead><tr><th scope="col" class="text">Tenant</th><th scope="col">Missing</th><th scope="col">Standalone<br/>licenses</th>'
           '<th scope="col">Or user<br/>licenses</th>%s</tr></thead><tbody>%s</tbody>%s</table></section>',
           CASE pg_catalog.count(*) FILTER (WHERE s.unit_price IS NULL)
             WHEN 0 THEN 'all of them are known'
             WHEN pg_catalog.cardinality(report_purchase.lines) THEN 'no price of standalone licenses is known'
             ELSE pg_catalog.format('of %s no price of standalone licenses is known', eiot.html_count(pg_catalog.count(*) FILTER (WHERE s.unit_price IS NULL), 'tenant', 'tenants')) END,
           CASE WHEN pg_catalog.count(s.mix_cost) > 0 THEN '<th scope="col">Cheapest</th>' ELSE '' END,
           pg_catalog.string_agg(
             pg_catalog.format('<tr><th scope="row">%s</th><td class="missing">%s</td><td>%s%s</td><td>%s%s</td>%s</tr>' || E'\n',
               eiot.html_label(s.tenant), eiot.html_number(s.gap), eiot.html_number(s.gap),
               COALESCE('<small>' || eiot.report_cost(s.gap * s.unit_price, s.currency, s.billing_frequency) || '</small>', ''),
               eiot.html_number(s.user_licenses),
               COALESCE('<small>' || eiot.report_cost(s.user_licenses * s.user_price, s.user_currency, s.user_frequency) || '</small>', ''),
               CASE WHEN s.with_mix THEN '<td class="when">'
                 || COALESCE(pg_catalog.format('%s user, %s standalone<small>%s</small>', eiot.html_number(s.mix_users), eiot.html_number(s.mix_devices),
                                               eiot.report_cost(s.mix_cost, s.currency, s.billing_frequency)), '&#8211;') || '</td>' ELSE '' END), '' ORDER BY s.place),
           CASE WHEN pg_catalog.count(*) > 1 THEN
             pg_catalog.format('<tfoot><tr><th scope="row">All of them</th><td class="missing">%s</td><td>%1$s%s</td><td>%s</td>%s</tr></tfoot>',
               eiot.html_number(pg_catalog.sum(s.gap)),
               COALESCE((SELECT pg_catalog.string_agg('<small>' || eiot.report_cost(c.cost, c.currency, c.billing_frequency) || '</small>', '' ORDER BY c.currency, c.billing_frequency)
                           FROM (SELECT k.currency, k.billing_frequency, pg_catalog.sum(k.gap * k.unit_price) AS cost
                                   FROM short k WHERE k.unit_price IS NOT NULL GROUP BY k.currency, k.billing_frequency) c), ''),
               eiot.html_number(pg_catalog.sum(s.user_licenses)), CASE WHEN pg_catalog.count(s.mix_cost) > 0 THEN '<td></td>' ELSE '' END) ELSE '' END)
    FROM (SELECT n.*, pg_catalog.count(n.mix_cost) OVER () > 0 AS with_mix FROM short n) s
  HAVING pg_catalog.count(*) > 0;
END;
COMMENT ON FUNCTION eiot.report_purchase(eiot.report_line[], timestamptz) IS
  'What would cover the gaps, and what that costs at the prices that the tenants pay; null without a gap';

CREATE FUNCTION eiot.report_charges(lines eiot.report_line[], period daterange) RETURNS text
  LANGUAGE sql STABLE STRICT PARALLEL SAFE COST 10000
BEGIN ATOMIC
  SELECT '<section aria-labelledby="charges"><h2 id="charges">What the period cost</h2>'
      || '<table><caption>Charges that begin in the period, where prices are recorded</caption><thead><tr><th scope="col" class="text">Product</th>'
      || '<th scope="col" class="more">Tenants</th><th scope="col">Charged</th><th scope="col">Credited</th><th scope="col">Together</th></tr></thead><tbody>'
      || pg_catalog.string_agg(
           pg_catalog.format('<tr><th scope="row">%s</th><td class="more">%s</td><td>%s</td><td>%s</td><td>%s %s</td></tr>', eiot.html_label(p.product), eiot.html_number(p.tenants),
             eiot.html_number(p.charged), eiot.html_number(p.credited), eiot.html_number(p.charged + p.credited), eiot.html_escape(p.currency)),
           '' ORDER BY p.currency, p.charged DESC, p.product)
      || '</tbody></table></section>'
    FROM (SELECT c.product, c.currency, pg_catalog.count(DISTINCT l.tenant_id) AS tenants,
                 COALESCE(pg_catalog.sum(c.amount) FILTER (WHERE c.kind = 'charge'), 0) AS charged,
                 COALESCE(pg_catalog.sum(c.amount) FILTER (WHERE c.kind = 'credit'), 0) AS credited
            FROM pg_catalog.unnest(report_charges.lines) l
           CROSS JOIN LATERAL eiot.charges(l.tenant_id, report_charges.period) c
           WHERE EXISTS (SELECT FROM eiot.entitlement e WHERE e.tenant_id = l.tenant_id AND e.unit_price IS NOT NULL)
           GROUP BY c.sku_id, c.product, c.currency) p;
END;
COMMENT ON FUNCTION eiot.report_charges(eiot.report_line[], daterange) IS 'What the products of the tenants cost in the period; null without a charge';

CREATE FUNCTION eiot.report_sources(inventory regclass, lines eiot.report_line[], counts eiot.report_count[], as_of timestamptz) RETURNS text
  LANGUAGE sql STABLE STRICT PARALLEL SAFE COST 10000
BEGIN ATOMIC
  SELECT pg_catalog.format(
    '<section aria-labelledby="sources"><h2 id="sources">Where the numbers come from</h2>'
    '<p>Licenses and rules are those of %s, and activity is measured from then, over those devices in %s that had been seen by then. '
    'A gap is the number of devices that count less the number that licenses cover, never rounded, tenant by tenant.</p>%s%s%s</section>',
    eiot.html_instant(report_sources.as_of), eiot.html_label(report_sources.inventory::text),
    (SELECT COALESCE('<table><caption>Counting rules</caption><thead><tr><th scope="col" class="text">Rule</th><th scope="col" class="text">Counts</th>'
                     '<th scope="col">Inactive<br/>after</th><th scope="col">Tenants</th><th scope="col" class="text more">Source</th></tr></thead><tbody>'
                     || pg_catalog.string_agg(
                          pg_catalog.format('<tr><th scope="row">%s<small>%s</small></th><td class="text">%s</td><td>%s</td><td>%s</td><td class="text more">%s</td></tr>',
                            eiot.html_label(r.name),
                            CASE WHEN pg_catalog.isempty(r.valid) THEN 'a draft'
                                 ELSE pg_catalog.format('from %s%s', COALESCE(pg_catalog.to_char(pg_catalog.lower(r.valid), 'YYYY-MM-DD'), 'the beginning'),
                                                        COALESCE(pg_catalog.to_char(pg_catalog.upper(r.valid) - 1, '" to "YYYY-MM-DD'), '')) END,
                            pg_catalog.array_to_string(r.counted_classes, ', '),
                            COALESCE(CASE WHEN r.inactive_after = pg_catalog.make_interval(days => pg_catalog.date_part('day', r.inactive_after)::integer)
                                          THEN eiot.html_count(pg_catalog.date_part('day', r.inactive_after)::numeric, 'day', 'days')
                                          ELSE eiot.html_escape(r.inactive_after::text) END, 'never'),
                            eiot.html_number(n.tenants), COALESCE(eiot.html_label(r.source), '&#8211;')), '' ORDER BY n.tenants DESC, r.name)
                     || '</tbody></table>', '')
       FROM (SELECT l.rule, pg_catalog.count(*) AS tenants FROM pg_catalog.unnest(report_sources.lines) l GROUP BY l.rule) n
       JOIN eiot.counting_rule r ON r.name = n.rule),
    (SELECT COALESCE('<table><caption>What licenses cover. Basis: documentation, Microsoft''s list of service plans (plan), the product''s name (name), '
                     'nobody says so (unknown), chosen here (project) or first met in an import (import).</caption>'
                     '<thead><tr><th scope="col" class="text">Product</th><th scope="col">Devices<br/>a unit</th><th scope="col">Units</th>'
                     '<th scope="col" class="more">Tenants</th><th scope="col" class="text">Basis</th></tr></thead><tbody>'
                     || pg_catalog.string_agg(
                          pg_catalog.format('<tr><th scope="row">%s%s</th><td>%s</td><td>%s</td><td class="more">%s</td><td class="text basis">%s%s</td></tr>',
                            eiot.html_label(s.name), COALESCE('<small>' || eiot.html_label(s.part_number) || '</small>', ''),
                            eiot.html_number(s.devices_per_unit), CASE WHEN n.without_limit THEN 'unlimited' ELSE eiot.html_number(n.units) END,
                            eiot.html_number(n.tenants), COALESCE(eiot.html_label(s.basis), '&#8211;'),
                            CASE WHEN s.overrides THEN '<small>changed here</small>' ELSE '' END),
                          '' ORDER BY s.devices_per_unit DESC, n.tenants DESC, s.name, s.sku_id)
                     || '</tbody></table>', '')
       FROM (SELECT e.sku_id, pg_catalog.sum(e.units) AS units, pg_catalog.bool_or(e.units = eiot.unlimited()) AS without_limit,
                    pg_catalog.count(DISTINCT e.tenant_id) AS tenants
               FROM eiot.entitlement e
              WHERE e.valid @> report_sources.as_of AND e.units > 0
                AND e.tenant_id IN (SELECT l.tenant_id FROM pg_catalog.unnest(report_sources.lines) l)
              GROUP BY e.sku_id) n
       JOIN eiot.sku s ON s.sku_id = n.sku_id AND s.devices_per_unit > 0),
    (SELECT pg_catalog.format(
              '<table><caption>Imports%s</caption><thead><tr><th scope="col" class="text">Tenant</th><th scope="col">Licenses imported</th><th scope="col">Last device seen</th></tr></thead><tbody>%s</tbody></table>',
              CASE WHEN pg_catalog.max(i.n) > 20 THEN pg_catalog.format(': the 20 oldest of %s', eiot.html_number(pg_catalog.max(i.n))) ELSE ', the oldest first' END,
              pg_catalog.string_agg(pg_catalog.format('<tr><th scope="row">%s</th><td class="when">%s</td><td class="when">%s</td></tr>',
                eiot.html_label(i.tenant), COALESCE(eiot.html_instant(i.licenses_at), 'by hand'), COALESCE(eiot.html_instant(i.last_seen), 'never')), '' ORDER BY i.i))
       FROM (SELECT l.tenant, l.licenses_at, d.last_seen, pg_catalog.count(*) OVER () AS n,
                    pg_catalog.row_number() OVER (ORDER BY least(l.licenses_at, d.last_seen) NULLS FIRST, l.tenant, l.tenant_id) AS i
               FROM pg_catalog.unnest(report_sources.lines) l
               LEFT JOIN (SELECT c.tenant_id, pg_catalog.max(c.last_seen) AS last_seen FROM pg_catalog.unnest(report_sources.counts) c GROUP BY c.tenant_id) d
                 ON d.tenant_id = l.tenant_id) i
      WHERE i.i <= 20));
END;
COMMENT ON FUNCTION eiot.report_sources(regclass, eiot.report_line[], eiot.report_count[], timestamptz) IS
  'Rules, products and imports that a report rests on';

CREATE FUNCTION eiot.report_period(frequency text, as_of timestamptz) RETURNS daterange
  LANGUAGE sql STABLE STRICT PARALLEL SAFE COST 10
  -- A timestamp without zone, and so the same everywhere.
  RETURN pg_catalog.daterange(
    (pg_catalog.date_trunc(frequency, pg_catalog.timezone('UTC', as_of)) - CASE frequency WHEN 'quarter' THEN interval '3 months' ELSE ('1 ' || frequency)::interval END)::date,
    pg_catalog.date_trunc(frequency, pg_catalog.timezone('UTC', as_of))::date);
COMMENT ON FUNCTION eiot.report_period(text, timestamptz) IS
  'The last whole day, week (from Monday), month, quarter or year before an instant, in UTC; null of null';

CREATE FUNCTION eiot.report_html(inventory regclass, tenant_id uuid DEFAULT NULL, period daterange DEFAULT NULL) RETURNS text
  LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL SAFE COST 100000
  SET search_path = pg_catalog, pg_temp
  AS $$
DECLARE
  -- Bounds the page: so many tenants have a section of their own.
  detailed CONSTANT bigint := 50;
  within CONSTANT daterange := COALESCE(period, eiot.report_period('month', now()));
  since timestamptz;
  until timestamptz;
  first text;
  last text;
  lines eiot.report_line[];
  series eiot.report_series[];
  counts eiot.report_count[];
  headline text;
  overall boolean;
  details text;
BEGIN
  PERFORM eiot.check_inventory(inventory);
  IF tenant_id IS NOT NULL THEN
    PERFORM eiot.check_tenant(tenant_id);
  END IF;
  IF isempty(within) OR lower_inf(within) OR upper_inf(within) OR NOT isfinite(lower(within)) OR NOT isfinite(upper(within)) THEN
    RAISE EXCEPTION 'period must have a first and a last day: %', within
      USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Write it as daterange(''2026-08-01'', ''2026-09-01''), the second day not being part of it.';
  END IF;
  IF upper(within) - lower(within) > 3660 THEN
    RAISE EXCEPTION 'period is longer than ten years: %', within USING ERRCODE = 'invalid_parameter_value';
  END IF;
  since := lower(within)::timestamp AT TIME ZONE 'UTC';
  IF since >= now() THEN
    RAISE EXCEPTION 'period lies in the future: %', within USING ERRCODE = 'invalid_parameter_value';
  END IF;
  -- The last instant of it, so that what ends with the period is still in it.
  until := least(upper(within)::timestamp AT TIME ZONE 'UTC' - interval '1 microsecond', now());
  first := to_char(lower(within), 'YYYY-MM-DD');
  last := to_char(until AT TIME ZONE 'UTC', 'YYYY-MM-DD');

  counts := eiot.report_counts(inventory, tenant_id, until);
  lines := eiot.report_lines(tenant_id, until, counts);
  series := eiot.report_series(inventory, tenant_id, since, until, lines);
  overall := tenant_id IS NULL AND cardinality(lines) <> 1;
  headline := eiot.report_headline(lines);
  details := eiot.report_details(lines, series, counts, detailed, until, first, last);

  RETURN eiot.html_page(
    format('License coverage of IoT devices, %s to %s', first, last),
    concat(
      format('<header><p class="over">License coverage of IoT devices, %s to %s</p><h1>%s</h1><p class="note">As of %s. Inventory %s.</p>%s',
             first, last, headline, eiot.html_instant(until), eiot.html_label(inventory::text), eiot.report_facts(lines, series, first)),
      E'</header>\n<main>\n',
      CASE WHEN overall THEN eiot.report_tenants(lines, series, detailed) END,
      CASE WHEN overall THEN eiot.report_trend(series, first, last) END,
      CASE WHEN NOT overall THEN details END,
      eiot.report_purchase(lines, until),
      eiot.report_charges(lines, within),
      CASE WHEN cardinality(counts) > 0 THEN
        '<section aria-labelledby="counting"><h2 id="counting">Which devices count</h2><div class="pair"><div>'
        || eiot.report_reasons(counts, NULL) || '</div><div>' || eiot.report_classes(counts, NULL) || '</div></div></section>' END,
      CASE WHEN overall THEN '<section aria-labelledby="details"><h2 id="details">Tenant by tenant</h2>' || details || '</section>' END,
      eiot.report_sources(inventory, lines, counts, until),
      format(E'</main>\n<footer><p>Made on %s by %s, with eiot %s.</p></footer>', eiot.html_instant(now()), eiot.html_label(current_user),
             eiot.html_escape((SELECT e.extversion FROM pg_extension e WHERE e.extname = 'eiot')))));
END
$$;
COMMENT ON FUNCTION eiot.report_html(regclass, uuid, daterange) IS
  'One page about the coverage of all tenants that the caller sees, or of one, over a period of days (UTC); null: the last whole month. It needs no network and has no script. 22023 for a period without bounds, over ten years or in the future, 23503 for an unknown tenant, 42809 for a relation that is not an inventory, 22004 for null';

-- Reports by a schedule.

CREATE TABLE eiot.report_schedule (
  name text PRIMARY KEY CHECK (name <> ''),
  inventory text NOT NULL,
  tenant_id uuid REFERENCES eiot.tenant ON DELETE CASCADE,
  each_tenant boolean NOT NULL DEFAULT false,
  frequency text NOT NULL DEFAULT 'month' CHECK (frequency IN ('day', 'week', 'month', 'quarter', 'year')),
  keep integer CHECK (keep > 0),
  scheduled_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
  scheduled_by text NOT NULL DEFAULT CURRENT_USER,
  CHECK (tenant_id IS NULL OR NOT each_tenant)
);
COMMENT ON TABLE eiot.report_schedule IS 'Reports that eiot.run_reports makes and stores';
COMMENT ON COLUMN eiot.report_schedule.name IS 'Key';
COMMENT ON COLUMN eiot.report_schedule.inventory IS 'The inventory, by name';
COMMENT ON COLUMN eiot.report_schedule.tenant_id IS 'The tenant that it is about; null: all';
COMMENT ON COLUMN eiot.report_schedule.each_tenant IS 'A page for each tenant, instead of one for all';
COMMENT ON COLUMN eiot.report_schedule.frequency IS 'Period of a report, in UTC: day, week (from Monday), month, quarter or year';
COMMENT ON COLUMN eiot.report_schedule.keep IS 'Periods that are kept, the newest; null: all';
COMMENT ON COLUMN eiot.report_schedule.scheduled_at IS 'When it was scheduled or changed';
COMMENT ON COLUMN eiot.report_schedule.scheduled_by IS 'Who did';
SELECT pg_catalog.pg_extension_config_dump('eiot.report_schedule', '');

-- A schedule can go and its reports stay, so nothing refers to it.
CREATE TABLE eiot.report_run (
  report_run_id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
  name text NOT NULL,
  inventory text NOT NULL,
  tenant_id uuid REFERENCES eiot.tenant ON DELETE CASCADE,
  period daterange NOT NULL,
  created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
  created_by text NOT NULL DEFAULT CURRENT_USER,
  attempts integer NOT NULL DEFAULT 1,
  html text,
  error text,
  CONSTRAINT report_run_once UNIQUE NULLS NOT DISTINCT (name, tenant_id, period),
  CHECK ((html IS NULL) <> (error IS NULL))
);
COMMENT ON TABLE eiot.report_run IS 'Reports made by schedule: the page, or why there is none';
COMMENT ON COLUMN eiot.report_run.report_run_id IS 'Key';
COMMENT ON COLUMN eiot.report_run.name IS 'The schedule''s name';
COMMENT ON COLUMN eiot.report_run.inventory IS 'The inventory, by name';
COMMENT ON COLUMN eiot.report_run.tenant_id IS 'The tenant that it is about; null: all';
COMMENT ON COLUMN eiot.report_run.period IS 'The days (UTC) that it is about';
COMMENT ON COLUMN eiot.report_run.created_at IS 'When it was made, or last tried';
COMMENT ON COLUMN eiot.report_run.created_by IS 'With whose rights';
COMMENT ON COLUMN eiot.report_run.attempts IS 'How often it was tried';
COMMENT ON COLUMN eiot.report_run.html IS 'The page; null where it failed';
COMMENT ON COLUMN eiot.report_run.error IS 'SQLSTATE and message where it failed; null where there is a page. A failed report is tried again by the next run';
SELECT pg_catalog.pg_extension_config_dump('eiot.report_run', '');
SELECT pg_catalog.pg_extension_config_dump('eiot.report_run_report_run_id_seq', '');

CREATE FUNCTION eiot.schedule_report(name text, inventory regclass, tenant_id uuid DEFAULT NULL, frequency text DEFAULT 'month',
                                     each_tenant boolean DEFAULT false, keep integer DEFAULT NULL) RETURNS void
  LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 1000
  SET search_path = pg_catalog, pg_temp
  AS $$
BEGIN
  IF name IS NULL OR frequency IS NULL OR each_tenant IS NULL THEN
    RAISE EXCEPTION 'name, frequency and each_tenant must not be null' USING ERRCODE = 'null_value_not_allowed';
  END IF;
  IF name = '' THEN
    RAISE EXCEPTION 'name must not be empty' USING ERRCODE = 'invalid_parameter_value';
  END IF;
  PERFORM eiot.check_inventory(inventory);
  IF tenant_id IS NOT NULL THEN
    PERFORM eiot.check_tenant(tenant_id);
    IF each_tenant THEN
      RAISE EXCEPTION 'a report is about one tenant or about each, not both' USING ERRCODE = 'invalid_parameter_value';
    END IF;
  END IF;
  IF frequency NOT IN ('day', 'week', 'month', 'quarter', 'year') THEN
    RAISE EXCEPTION 'unknown frequency: %', frequency
      USING ERRCODE = 'invalid_parameter_value', HINT = 'It is day, week, month, quarter or year.';
  END IF;
  IF keep < 1 THEN
    RAISE EXCEPTION 'number of periods to keep must be above 0: %', keep USING ERRCODE = 'invalid_parameter_value';
  END IF;
  INSERT INTO eiot.report_schedule AS s (name, inventory, tenant_id, each_tenant, frequency, keep)
  VALUES (schedule_report.name, schedule_report.inventory::text, schedule_report.tenant_id, schedule_report.each_tenant,
          schedule_report.frequency, schedule_report.keep)
  ON CONFLICT ON CONSTRAINT report_schedule_pkey DO UPDATE
    SET inventory = excluded.inventory, tenant_id = excluded.tenant_id, each_tenant = excluded.each_tenant,
        frequency = excluded.frequency, keep = excluded.keep, scheduled_at = excluded.scheduled_at, scheduled_by = excluded.scheduled_by;
END
$$;
COMMENT ON FUNCTION eiot.schedule_report(text, regclass, uuid, text, boolean, integer) IS
  'Has eiot.run_reports make a report of every day, week, month, quarter or year: about all tenants, one, or each on a page of its own; keep: so many periods. A name that exists is changed. 22023 for another frequency, an empty name, keep below 1, one tenant and each; 23503, 42809 and 22004 as in eiot.report_html';

CREATE FUNCTION eiot.unschedule_report(name text) RETURNS boolean
  LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE COST 100
  SET search_path = pg_catalog, pg_temp
  AS $$
BEGIN
  DELETE FROM eiot.report_schedule s WHERE s.name = unschedule_report.name;
  RETURN FOUND;
END
$$;
COMMENT ON FUNCTION eiot.unschedule_report(text) IS
  'Ends a schedule and keeps its reports; false where there is none of that name, null of null';

CREATE FUNCTION eiot.run_reports(as_of timestamptz DEFAULT pg_catalog.now())
  RETURNS TABLE (name text, tenant_id uuid, period daterange, error text)
  LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 1000000 ROWS 10
  SET search_path = pg_catalog, pg_temp
  AS $$
DECLARE
  due record;
  page text;
BEGIN
  IF as_of IS NULL OR NOT isfinite(as_of) THEN
    RAISE EXCEPTION 'as_of must be an instant' USING ERRCODE = 'invalid_parameter_value';
  END IF;
  -- Two runs side by side share the work: what the other one has in hand is left to it.
  FOR due IN
    SELECT s.name, s.inventory, s.each_tenant, s.keep, t.tenant_id, eiot.report_period(s.frequency, as_of) AS period
      FROM eiot.report_schedule s
      LEFT JOIN LATERAL (SELECT n.tenant_id FROM eiot.tenant n WHERE s.each_tenant OR n.tenant_id = s.tenant_id) t ON true
     WHERE (NOT s.each_tenant AND s.tenant_id IS NULL OR t.tenant_id IS NOT NULL)
       AND NOT EXISTS (SELECT FROM eiot.report_run r
                        WHERE r.name = s.name AND r.tenant_id IS NOT DISTINCT FROM t.tenant_id
                          AND r.period = eiot.report_period(s.frequency, as_of) AND r.error IS NULL)
     ORDER BY s.name, t.tenant_id
       FOR UPDATE OF s SKIP LOCKED
  LOOP
    name := due.name;
    tenant_id := due.tenant_id;
    period := due.period;
    error := NULL;
    page := NULL;
    BEGIN
      page := eiot.report_html(due.inventory::regclass, due.tenant_id, due.period);
    EXCEPTION WHEN OTHERS THEN
      error := format('%s: %s', SQLSTATE, SQLERRM);
    END;
    INSERT INTO eiot.report_run AS r (name, inventory, tenant_id, period, html, error)
    VALUES (due.name, due.inventory, due.tenant_id, due.period, page, run_reports.error)
    ON CONFLICT ON CONSTRAINT report_run_once DO UPDATE
      SET inventory = excluded.inventory, html = excluded.html, error = excluded.error, attempts = r.attempts + 1,
          created_at = excluded.created_at, created_by = excluded.created_by;
    DELETE FROM eiot.report_run r
     WHERE r.name = due.name AND r.tenant_id IS NOT DISTINCT FROM due.tenant_id
       AND r.report_run_id NOT IN (SELECT k.report_run_id FROM eiot.report_run k
                                    WHERE k.name = due.name AND k.tenant_id IS NOT DISTINCT FROM due.tenant_id
                                    ORDER BY k.period DESC LIMIT due.keep);
    RETURN NEXT;
  END LOOP;
END
$$;
COMMENT ON FUNCTION eiot.run_reports(timestamptz) IS
  'Makes and stores the reports that are due, those whose last whole period before as_of has none yet, and returns what it made; one that fails stores its error and stops no other. 22023 for null or infinity';
