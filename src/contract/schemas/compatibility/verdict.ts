/**
 * The result of comparing two schemas, and how verdicts on parts are combined.
 */
/**
 * The result of `reads`: whether a reader of one schema accepts every value that a writer of another may write.
 */
export type Compatibility =
  | { readonly reads: "yes" }
  /** `paths`: each entry is a path and the reason in words, such as `buyer: required by the reader, not written`. */
  | { readonly reads: "no"; readonly paths: readonly string[] }
  /** `keyword`: the part of the schema that could not be decided, most often a keyword of JSON Schema. */
  | { readonly reads: "unknown"; readonly keyword: string };

export const YES: Compatibility = { reads: "yes" };

export function no(path: string, reason: string): Compatibility {
  return { reads: "no", paths: [`${path || "the whole"}: ${reason}`] };
}

export function unknown(keyword: string): Compatibility {
  return { reads: "unknown", keyword };
}

/** Combines verdicts that must all be `yes`: the result is `no` if any is `no`, else `unknown` if any is `unknown`. */
export function every(verdicts: readonly Compatibility[]): Compatibility {
  const paths = verdicts.flatMap((each) => (each.reads === "no" ? each.paths : []));
  if (paths.length > 0) return { reads: "no", paths: [...new Set(paths)] };
  return verdicts.find((each) => each.reads === "unknown") ?? YES;
}
