// The parts of `node:` that Catga uses in memory, for a browser. Each export is named as in Node; the page's import map
// leads all `node:` modules here.

/** Calls a function when this turn's microtasks have run; `setImmediate` of Node. */
const channel = new MessageChannel();
const immediates = [];
channel.port1.onmessage = () => immediates.shift()();
export function setImmediate(fn, ...args) {
  immediates.push(() => fn(...args));
  channel.port2.postMessage(0);
}

/** After all microtasks, as in Node; a microtask would run between those of promises. */
export const nextTick = setImmediate;
export const cpuUsage = () => ({ user: performance.now() * 1_000, system: 0 });
export const memoryUsage = () => ({ rss: 0, heapTotal: 0, heapUsed: 0, external: 0, arrayBuffers: 0 });
export const hostname = () => "browser";
export const styleText = (_style, text) => text;

/** Timers are objects in Node. Those of a browser are numbers, which cannot be told to keep no process alive. */
function timer(id) {
  return { id, ref: () => {}, unref: () => {}, [Symbol.toPrimitive]: () => id };
}
const ownSetTimeout = globalThis.setTimeout, ownSetInterval = globalThis.setInterval;
const idOf = (it) => typeof it === "object" && it !== null ? it.id : it;
const timeout = (...args) => timer(ownSetTimeout(...args));
const interval = (...args) => timer(ownSetInterval(...args));
const clear = (it) => clearInterval(idOf(it));
/** `setTimeout` of `node:timers`, and of `node:timers/promises` when its first argument is a number. */
export function setTimeout(first, ...args) {
  return typeof first === "function"
    ? timeout(first, ...args)
    : new Promise((resolve) => ownSetTimeout(resolve, first));
}
export { clear as clearInterval, clear as clearTimeout, interval as setInterval };

/** Values in the code that a function calls before it awaits something: a browser has no more of an async context. */
export class AsyncLocalStorage {
  #value;
  static snapshot() {
    return (fn, ...args) => fn(...args);
  }
  static bind(fn) {
    return fn;
  }
  getStore() {
    return this.#value;
  }
  run(value, fn, ...args) {
    const before = this.#value;
    this.#value = value;
    try {
      return fn(...args);
    } finally {
      this.#value = before;
    }
  }
}

export function isDeepStrictEqual(a, b) {
  if (Object.is(a, b)) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return false;
  if (a instanceof Date) return a.getTime() === b.getTime();
  if (a instanceof Map || a instanceof Set) return isDeepStrictEqual([...a], [...b]);
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => key in b && isDeepStrictEqual(a[key], b[key]));
}

/** SHA-256 of a text as base64url: `hash` of `node:crypto`, as a browser has none that returns at once. */
function hash(_algorithm, text, _encoding) {
  const bytes = new TextEncoder().encode(text);
  const words = new Uint32Array(((bytes.length + 8 >> 6) + 1) * 16);
  bytes.forEach((byte, i) => words[i >> 2] |= byte << (24 - i % 4 * 8));
  words[bytes.length >> 2] |= 0x80 << (24 - bytes.length % 4 * 8);
  words[words.length - 2] = bytes.length / 2 ** 29;
  words[words.length - 1] = bytes.length << 3;
  const state = Uint32Array.from(H), w = new Uint32Array(64);
  const turn = (x, n) => x >>> n | x << (32 - n);
  for (let block = 0; block < words.length; block += 16) {
    for (let i = 0; i < 64; i++) {
      if (i < 16) w[i] = words[block + i];
      else {
        const s0 = turn(w[i - 15], 7) ^ turn(w[i - 15], 18) ^ w[i - 15] >>> 3;
        const s1 = turn(w[i - 2], 17) ^ turn(w[i - 2], 19) ^ w[i - 2] >>> 10;
        w[i] = w[i - 16] + s0 + w[i - 7] + s1;
      }
    }
    let [a, b, c, d, e, f, g, h] = state;
    for (let i = 0; i < 64; i++) {
      const s1 = turn(e, 6) ^ turn(e, 11) ^ turn(e, 25), s0 = turn(a, 2) ^ turn(a, 13) ^ turn(a, 22);
      const t1 = h + s1 + (e & f ^ ~e & g) + K[i] + w[i] | 0, t2 = s0 + (a & b ^ a & c ^ b & c) | 0;
      [h, g, f, e, d, c, b, a] = [g, f, e, d + t1 | 0, c, b, a, t1 + t2 | 0];
    }
    [a, b, c, d, e, f, g, h].forEach((value, i) => state[i] += value);
  }
  const digest = String.fromCharCode(...[...state].flatMap((v) => [v >>> 24, v >>> 16 & 255, v >>> 8 & 255, v & 255]));
  return btoa(digest).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
/** The first 32 bits of the fractions of the square and cube roots of the first primes (FIPS 180-4). */
const PRIMES = Array.from({ length: 311 }, (_, i) => i + 2).filter((n, _, all) => all.every((m) => m >= n || n % m));
const fraction = (x) => (x - Math.floor(x)) * 2 ** 32 >>> 0;
const H = PRIMES.slice(0, 8).map((prime) => fraction(Math.sqrt(prime)));
const K = PRIMES.map((prime) => fraction(Math.cbrt(prime)));

/** As much of `Buffer` as base64 needs. */
const Buffer = {
  from(value, offset, length) {
    if (typeof value === "string") return Uint8Array.from(atob(value), (it) => it.charCodeAt(0));
    const bytes = new Uint8Array(value, offset, length);
    return { toString: () => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join("")) };
  },
};

const own = { nextTick, cpuUsage, memoryUsage, hostname, styleText, setTimeout, setInterval: interval, setImmediate };
const more = { clearTimeout: clear, clearInterval: clear, clearImmediate: () => {}, AsyncLocalStorage, hash, Buffer };
const ownPerformance = globalThis.performance;
export { ownPerformance as performance };
export default {
  ...{ ...own, ...more },
  env: {},
  execArgv: [],
  versions: {},
  stdout: { isTTY: false },
  getBuiltinModule: () => ({ hash, Buffer }),
  memoryUsage,
};
export const constants = { signals: {} };
