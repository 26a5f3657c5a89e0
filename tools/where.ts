/**
 * `deno task where WORD…`: finds the code that decides something, by the words of its comments.
 *
 *   deno task where dead letter       the places whose comments match these words best
 *   deno task where src/flow          each file below a folder, with the first sentence of its comment
 *
 * A place is a file or a declaration. It is described by the first sentence of its doc comment and by its `@decides`
 * tags, which name decisions that the sentence does not. Words are compared by their beginnings: "retry" finds
 * "retried".
 *
 * @module
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { isTestCode, sourceFiles } from "./sources.ts";

/** A file or a declaration, and what its doc comment says that it decides. */
export interface Place {
  readonly file: string;
  /** The name of the declaration; `undefined` for the file. */
  readonly name: string | undefined;
  /** The first sentence of the comment, and what follows it. */
  readonly sentence: string;
  readonly rest: string;
  readonly decides: readonly string[];
}

const MOST = 10;
const COMMENT = /^[ \t]*\/\*\*((?:(?!\*\/)[^])*)\*\/[ \t]*\n(?:[ \t]*@.*\n)*([^\n]*)/gm;
const NAME =
  /^\s*(?:(?:export|default|declare|abstract|async|readonly|static|override|get|set|type|interface|class|const|let|function)\*?\s+|\*)*(#?\w+)/;

/** The places of a source file: the file itself, then its declarations that have a comment. */
export function placesIn(file: string, source: string): Place[] {
  return [...source.matchAll(COMMENT)].flatMap(([, comment, next], at) => {
    const text = comment.replaceAll(/^[ \t]*\*[ \t]?/gm, "");
    const [body, ...tags] = text.split(/^@(?=\w)/m);
    const decides = tags.filter((tag) => tag.startsWith("decides ")).map((tag) =>
      oneLine(tag.slice("decides ".length))
    );
    const isFile = at === 0 && /^(?:\s*$|import\b|export \*)/.test(next);
    const [sentence, rest] = firstSentence(oneLine(body));
    const place = { file, name: isFile ? undefined : NAME.exec(next)?.[1], sentence, rest, decides };
    return isFile || place.name !== undefined && !isMember(next) ? [place] : [];
  });
}

/**
 * The places whose comments have these words, the best match first: rare words count more, long texts less, and what
 * follows the first sentence counts half. A file stands for its declarations, so it comes before one of them.
 */
export function findPlaces(places: readonly Place[], words: readonly string[]): Place[] {
  const wanted = new Set(words.flatMap(stems));
  const texts = places.map(({ file, name, sentence, rest, decides }) => ({
    first: new Set(stems([file.replace(/^src\/.*\//, ""), name ?? "", sentence, ...decides].join(" "))),
    rest: new Set(stems(rest)),
  }));
  const weights = new Map([...wanted].map((word) => {
    const having = texts.filter(({ first }) => first.has(word)).length;
    return [word, Math.log(1 + places.length / (1 + having))];
  }));
  const scored = places.map((place, at) => {
    const { first, rest } = texts[at];
    let score = 0;
    for (const [word, weight] of weights) score += first.has(word) ? weight : rest.has(word) ? weight / 2 : 0;
    return { place, score: score * (place.name === undefined ? 1.3 : 1) / (1 + first.size / 60) };
  });
  return scored.filter(({ score }) => score > 0).toSorted((one, other) => other.score - one.score)
    .map(({ place }) => place);
}

/** All places of the product's code. */
export async function allPlaces(root: string): Promise<Place[]> {
  const files = (await sourceFiles(root, ["mod.ts", "src"])).filter((file) =>
    file.endsWith(".ts") && !isTestCode(file)
  );
  return (await Promise.all(files.map(async (file) => placesIn(file, await readFile(join(root, file), "utf8")))))
    .flat();
}

function stems(text: string): string[] {
  const words = text.replaceAll(/([a-z])([A-Z])/g, "$1 $2").toLowerCase().match(/[a-z]{2,}/g) ?? [];
  return words.filter((word) => !SMALL.has(word)).map((word) =>
    word.replace(/(?:ies|ied)$/, "y").replace(/(?:ing|ed|es|s)$/, "").slice(0, 6)
  );
}

const SMALL: ReadonlySet<string> = new Set([
  ...["an", "and", "are", "as", "at", "be", "by", "does", "for", "from", "how", "in", "is", "it", "its", "of", "on"],
  ...["or", "that", "the", "to", "what", "when", "where", "which", "who", "with", "src", "ts"],
]);

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, " ").trim();
}

function firstSentence(text: string): [sentence: string, rest: string] {
  const sentence = /^.*?[.:](?= [A-Z`]|$)/.exec(text)?.[0] ?? text;
  return [sentence, text.slice(sentence.length).trim()];
}

/** Returns true for a field or a member of a type: it says what a value is, and decides nothing. */
function isMember(line: string): boolean {
  return /^\s/.test(line) && !/[{(]\s*$/.test(line);
}

function print({ file, name, sentence, decides }: Place): string {
  const said = [sentence, ...decides.map((text) => `decides: ${text}`)].filter((text) => text !== "");
  return `${file}${name === undefined ? "" : `  ${name}`}\n  ${said.join("\n  ")}`;
}

if (import.meta.main) {
  const places = await allPlaces(fileURLToPath(new URL("..", import.meta.url)));
  const words = process.argv.slice(2);
  const folder = words.length === 1 && words[0].includes("/") ? words[0].replace(/\/$/, "") : undefined;
  const found = folder === undefined
    ? findPlaces(places, words)
    : places.filter(({ file, name }) => name === undefined && `${file}/`.startsWith(`${folder}/`));
  const shown = folder === undefined ? found.slice(0, MOST) : found;
  if (shown.length === 0) console.log(`no comment has any of these words: ${words.join(" ")}`);
  for (const place of shown) console.log(print(place));
}
