// `Retry-After` in both its forms (RFC 9110 §10.2.3): seconds, or the moment as an HTTP-date.

/** IMF-fixdate, and the two obsolete forms that a recipient must take (RFC 9110 §5.6.7). */
const IMF = /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/;
const RFC850 = /^[A-Z][a-z]+, \d{2}-[A-Z][a-z]{2}-\d{2} \d{2}:\d{2}:\d{2} GMT$/;
const ASCTIME = /^[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d{2}:\d{2}:\d{2} \d{4}$/;

/** The wait in ms from `wallMs` (Unix time) on, 0 when the moment has passed; undefined when it is neither form. */
export function tryParseRetryAfterMs(value: string, wallMs: number): number | undefined {
  const text = value.trim();
  if (/^[0-9]{1,12}$/.test(text)) return Number(text) * 1000;
  const at = tryParseHttpDateMs(text);
  return at === undefined ? undefined : Math.max(0, at - wallMs);
}

/** An HTTP-date as Unix time in ms. */
export function tryParseHttpDateMs(text: string): number | undefined {
  const isDate = IMF.test(text) || RFC850.test(text);
  const ms = isDate ? Date.parse(text) : ASCTIME.test(text) ? Date.parse(`${text} GMT`) : NaN;
  return Number.isNaN(ms) ? undefined : ms;
}
