/**
 * Reasons for parts of Catga's own beside NATS's packages: a comment that gives one names its row of
 * docs/internals/packages.md, which the bench measures.
 *
 * @module
 */

const PAGE = "docs/internals/packages.md";
const COMMENT = /\/\*\*?[\s\S]*?\*\/|(?:^[ \t]*\/\/.*\n?)+/gm;
/** The packages of NATS that parts of Catga's own stand beside. */
const PACKAGE = /`@nats-io\/(?:jetstream|kv|transport-deno)`|`kv\.\w+`|`Kvm?`|transport-deno\b/;
/** Words by which a package is compared with a part of Catga's own. */
const COMPARED =
  /\b(?:would|stands? in|does less|silent|silences?|loses?|ha(?:s|ve) no|do(?:es)? not say|takes any|several times|waits for)\b/;
/** A statement about one version of nats.js. */
const OF_VERSION = /nats\.js \(?3\.4|\b3\.4\.0\b/;

/** The names of the rows under "Why not" in the page. */
export function packageRows(page: string): string[] {
  const table = page.slice(page.indexOf("## Why not"), page.indexOf("## By hand"));
  return [...table.matchAll(/^\| `([^`]+)`/gm)].map(([, name]) => name);
}

/** What in the comments of a file is against the rule; `rows`: those of the page. */
export function reasonFindings(path: string, source: string, rows: readonly string[]): string[] {
  return [...source.matchAll(COMMENT)].flatMap(({ 0: comment, index }) => {
    const text = comment.replace(/\s*\n\s*(?:\*(?!\/)|\/\/)?\s*/g, " ");
    const at = `${path}:${source.slice(0, index).split("\n").length}`;
    if (!text.includes(PAGE)) {
      const isReason = OF_VERSION.test(text) || (PACKAGE.test(text) && COMPARED.test(text));
      return isReason ? [`${at}: a reason for a part of Catga's own: name its row of ${PAGE}`] : [];
    }
    const named = [...text.matchAll(/\brows?((?:,? (?:and )?`[^`]+`)+)/g)]
      .flatMap(([, names]) => [...names.matchAll(/`([^`]+)`/g)].map(([, name]) => name));
    if (named.length === 0) return [`${at}: names ${PAGE} without a row`];
    return named.filter((name) => !rows.includes(name)).map((name) => `${at}: ${PAGE} has no row ${name}`);
  });
}
