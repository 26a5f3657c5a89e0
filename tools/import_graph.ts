/**
 * Reads which module imports which, without a compiler, so that it works in every runtime.
 *
 * @module
 */
import { readFile } from "node:fs/promises";
import { join, posix } from "node:path";

/** One import of one module. */
export interface Arrow {
  /** The importing file, from the root of the repository. */
  readonly from: string;
  /** What stands in the file: a path, or a bare name such as `node:fs`. */
  readonly specifier: string;
  /** The imported file from the root of the repository, or the bare name. */
  readonly to: string;
  /** `type`: gone at run time. `dynamic`: loaded when asked for, or a type written `import("…")`. */
  readonly kind: "static" | "type" | "dynamic";
}

/** The imports of these files, whose paths start at `root`. */
export async function readImports(root: string, files: readonly string[]): Promise<Arrow[]> {
  const texts = await Promise.all(files.map((file) => readFile(join(root, file), "utf8")));
  return files.flatMap((file, at) => importsOf(file, texts[at]));
}

// what may stand between `import` or `export` and `from`, and no second such word
const STATIC =
  /\b(?:import|export)\b(\s+type\b(?!\s*(?:,|from\b)))?(?:(?!\b(?:import|export)\b)[\w$*\s,]|\{[^{}]*\})*?\bfrom\s*["']/g;
const BARE = /\bimport\s*["']/g;
const DYNAMIC = /(?<![.\w$#])import\s*\(\s*(["']?)/g;

/** The imports in a module's text. A dynamic import of something computed has the specifier `(computed)`. */
export function importsOf(file: string, source: string): Arrow[] {
  const code = blank(source);
  const arrow = (quoteAt: number, kind: Arrow["kind"]): Arrow => {
    const specifier = source.slice(quoteAt + 1, code.indexOf(code[quoteAt], quoteAt + 1));
    return { from: file, specifier, to: resolve(file, specifier), kind };
  };
  const last = (match: RegExpMatchArray) => match.index! + match[0].length - 1;
  return [
    ...[...code.matchAll(STATIC)].map((match) => arrow(last(match), match[1] ? "type" : "static")),
    ...[...code.matchAll(BARE)].map((match) => arrow(last(match), "static")),
    ...[...code.matchAll(DYNAMIC)].map((match) =>
      match[1]
        ? arrow(last(match), "dynamic")
        : { from: file, specifier: "(computed)", to: "(computed)", kind: "dynamic" } as const
    ),
  ];
}

function resolve(file: string, specifier: string): string {
  return specifier.startsWith(".") ? posix.normalize(posix.join(posix.dirname(file), specifier)) : specifier;
}

const REGEX_AFTER = /(?:^|[(,=:[!&|?{};+\-*%<>~^]|\b(?:return|typeof|case|in|of|await|yield))\s*$/;

/** The text with blanks for comments and for what is in strings, templates and regular expressions; lengths stay. */
export function blank(source: string): string {
  let out = "";
  let at = 0;
  const depths: number[] = []; // of braces, one for each template that is open
  const keep = (count: number) => out += source.slice(at, at += count);
  const hide = (end: number) => out += source.slice(at, at = Math.min(end, source.length)).replace(/[^\n]/g, " ");
  const endOf = (pattern: RegExp): number => {
    pattern.lastIndex = at;
    const found = pattern.exec(source);
    return found ? found.index : source.length;
  };
  const template = () => {
    hide(endOf(/(?<!\\)(?:\\\\)*(?:`|\$\{)/g));
    while (source[at] === "\\") hide(at + 2);
    if (source[at] === "`") keep(1);
    else {
      keep(2);
      depths.push(0);
    }
  };
  while (at < source.length) {
    const [one, two] = [source[at], source.slice(at, at + 2)];
    if (two === "//") hide(endOf(/\n/g));
    else if (two === "/*") hide(endOf(/\*\//g) + 2);
    else if (one === '"' || one === "'") {
      keep(1);
      while (at < source.length && source[at] !== one && source[at] !== "\n") hide(at + (source[at] === "\\" ? 2 : 1));
      keep(1);
    } else if (one === "`") {
      keep(1);
      template();
    } else if (one === "/" && REGEX_AFTER.test(out.slice(-200))) {
      keep(1);
      for (let inClass = false; at < source.length && source[at] !== "\n" && (inClass || source[at] !== "/");) {
        if (source[at] === "[") inClass = true;
        if (source[at] === "]") inClass = false;
        hide(at + (source[at] === "\\" ? 2 : 1));
      }
      keep(1);
    } else if (one === "{" && depths.length > 0) {
      depths[depths.length - 1]++;
      keep(1);
    } else if (one === "}" && depths.length > 0 && depths[depths.length - 1]-- === 0) {
      depths.pop();
      keep(1);
      template();
    } else keep(1);
  }
  return out;
}
