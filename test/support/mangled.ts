/** Hostile frames: random, truncated and altered bytes, and frames whose content is false. */
import type { Random } from "../../src/ports/clock.ts";

/** A frame that is invalid, or barely valid; the contracts in it are `Echo` and `Later`. */
export function mangled(random: Random): Uint8Array {
  const pick = <T>(from: ArrayLike<T>): T => from[Math.floor(random() * from.length)];
  const encode = (text: string) => new TextEncoder().encode(text);
  const text = pick(FRAMES);
  switch (Math.floor(random() * 7)) {
    case 0: // random bytes
      return Uint8Array.from({ length: Math.floor(random() * 200) }, () => Math.floor(random() * 256));
    case 1: // truncated
      return encode(text).slice(0, Math.floor(random() * text.length));
    case 2: { // some bytes changed
      const bytes = encode(text);
      for (let i = 0; i < 3; i++) bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
      return bytes;
    }
    case 3: // a value of another type
      return encode(text.replace(/-?\d+|"[^"]*"/g, (value) => (random() < 0.2 ? pick(VALUES) : value)));
    case 4: { // deep nesting
      const depth = 1 + Math.floor(random() * 20_000);
      const deep = random() < 0.5
        ? "[".repeat(depth) + "]".repeat(depth)
        : '{"a":'.repeat(depth) + "1" + "}".repeat(depth);
      return encode(
        pick([deep, `[1,1,1,${deep}]`, `[1,1,1,["Echo",${deep}]]`, `[1,"a.1",1,${deep}]`, `[1,1,1,["v",${deep}]]`]),
      );
    }
    case 5: // another version, or none
      return encode(text.replace("[1", pick(["[2", "[0", "[999", '["1"', "[", "[1.5"])));
    default: // parts of several
      return encode(text.slice(0, Math.floor(random() * text.length)) + pick(FRAMES).slice(Math.floor(random() * 40)));
  }
}

const FRAMES = [
  '[1,7,1767225600000,["q","Echo",1000,1,{"a":[1,2]}],["q","Later",1000,"x"]]',
  '[1,8,1767225600000,["m","Echo",1000,{"id":"x","attempt":2,"headers":{"a":"b"},"ancestry":["c"]},1]]',
  '[1,9,1767225600000,["r",1,0,1,2],["e",1,2,{"code":"A","message":"b"}],["n",1,3,"LATE"],["c",1,4]]',
  '[1,10,1767225600000,["p",1],["o",1,1,[1,1],[0,0]],["v",1]]',
  '[1,"other.1",1767225600000,{"seq":1,"headers":{"a":"b"}},1,{"b":2}]',
];
const VALUES = [
  ...["null", "true", "-1", "0", "1.5", "1e400", "9007199254740993", '""', '"x"', "[]", "{}", "[[]]"],
  ...['{"__proto__":{"a":1}}', '{"constructor":{"prototype":{"a":1}}}', '"\\ud800"', '"\\u0000"', '"catga.>"'],
];
