/**
 * Comparison of the keywords that limit numbers, texts and counts.
 */
import type { SchemaNode } from "./keywords.ts";
import { type Compatibility, every, no, unknown } from "./verdict.ts";
import { shortened } from "./wording.ts";

/** Compares the range, `multipleOf` and `format` of numbers. */
export function numbers(r: SchemaNode, w: SchemaNode, path: string): Compatibility {
  const low = lowest(w);
  const high = highest(w);
  const verdicts: Compatibility[] = [];
  const least = lowest(r);
  const most = highest(r);
  if (low.at < least.at || (low.at === least.at && least.out && !low.out)) {
    verdicts.push(no(path, `${bound(low, ">")} is written, ${bound(least, ">")} is read`));
  }
  if (high.at > most.at || (high.at === most.at && most.out && !high.out)) {
    verdicts.push(no(path, `${bound(high, "<")} is written, ${bound(most, "<")} is read`));
  }
  const step = r.multipleOf as number | undefined;
  if (step !== undefined && step !== w.multipleOf && !(step === 1 && w.type === "integer")) {
    const own = w.multipleOf as number | undefined;
    const isWhole = own !== undefined && Number.isInteger(step) && Number.isInteger(own);
    if (own === undefined) verdicts.push(no(path, `any number is written, multiples of ${step} are read`));
    else if (!isWhole) verdicts.push(unknown("multipleOf"));
    else if (own % step !== 0) verdicts.push(no(path, `multiples of ${own} are written, of ${step} are read`));
  }
  if (r.format !== undefined && r.format !== w.format && w.type !== undefined) verdicts.push(unknown("format"));
  return every(verdicts);
}

/**
 * The `multipleOf` that describes one number: the number itself; for 0, the reader's `multipleOf`, because 0 is a
 * multiple of every number.
 */
export function whole(r: SchemaNode, value: number): { multipleOf?: number } {
  return r.multipleOf === undefined ? {} : { multipleOf: value === 0 ? r.multipleOf as number : value };
}

/** Compares the length, `pattern`, `format` and `contentEncoding` of texts. */
export function texts(r: SchemaNode, w: SchemaNode, path: string): Compatibility {
  const verdicts: Compatibility[] = [];
  // the length of strings that match a pattern or a format is not known
  const isFree = w.pattern === undefined && w.format === undefined;
  const [least, most] = [w.minLength as number ?? 0, w.maxLength as number ?? Infinity];
  const lengths = counts(r.minLength, r.maxLength, least, most, "characters", path);
  verdicts.push(lengths.reads === "no" && !isFree ? unknown(w.pattern === undefined ? "format" : "pattern") : lengths);
  for (const key of ["pattern", "format", "contentEncoding"]) {
    if (r[key] === undefined || r[key] === w[key]) continue;
    verdicts.push(
      isFree ? no(path, `any string is written, ${key} ${shortened(r[key] as string)} is read`) : unknown(key),
    );
  }
  // equal formats with different patterns: two libraries, or two options of one library, define the format differently
  if (r.format !== undefined && r.format === w.format && r.pattern !== w.pattern) verdicts.push(unknown("format"));
  return every(verdicts);
}

/**
 * Compares two ranges of counts (lengths of strings, numbers of members or items): the writer's from `least` to `most`,
 * and the reader's from `from` to `to`. `of`: a noun for the things counted, for the reason.
 */
export function counts(
  from: unknown,
  to: unknown,
  least: number,
  most: number,
  of: string,
  path: string,
): Compatibility {
  const verdicts: Compatibility[] = [];
  if (from !== undefined && least < (from as number)) {
    verdicts.push(no(path, `${least} ${of} may be written, at least ${from} are read`));
  }
  if (to !== undefined && most > (to as number)) {
    const written = most === Infinity ? `any number of ${of}` : `${most} ${of}`;
    verdicts.push(no(path, `${written} may be written, at most ${to} are read`));
  }
  return every(verdicts);
}

/** One end of a range of numbers; `out`: the number `at` itself is not in the range. */
interface Bound {
  readonly at: number;
  readonly out: boolean;
}

function lowest({ minimum = -Infinity, exclusiveMinimum = -Infinity }: SchemaNode): Bound {
  const [own, out] = [minimum as number, exclusiveMinimum as number];
  return out >= own && out !== -Infinity ? { at: out, out: true } : { at: own, out: false };
}

function highest({ maximum = Infinity, exclusiveMaximum = Infinity }: SchemaNode): Bound {
  const [own, out] = [maximum as number, exclusiveMaximum as number];
  return out <= own && out !== Infinity ? { at: out, out: true } : { at: own, out: false };
}

function bound({ at, out }: Bound, sign: "<" | ">"): string {
  return Math.abs(at) === Infinity ? "any number" : `a number ${sign}${out ? "" : "="} ${at}`;
}
