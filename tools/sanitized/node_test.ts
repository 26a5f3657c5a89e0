/**
 * `node:test` for the tests of this repository in Deno, over `Deno.test` with its sanitizers: what a test has opened or
 * started is over when the test ends. Deno's own `node:test` has none, whatever flags it is given (2.9.6). `task test`
 * maps `node:test` to this module.
 *
 * Each `it` is checked by itself. A suite with `before` or `after` shares what lives longer than its tests: it is
 * checked as a whole, behind its hooks, for Deno checks no single step of a test.
 *
 * @module
 */
import { clearTimeout, setTimeout } from "node:timers";

export { mock } from "node:test";

/** Options of a test or a suite. */
export interface TestOptions {
  /** ms after which it fails; never. */
  readonly timeout?: number;
  /** True, or why it does not run. */
  readonly skip?: boolean | string;
}

/** What a test is called with. */
export interface TestContext {
  readonly name: string;
  /** Aborts at the test's timeout. */
  readonly signal: AbortSignal;
}

type TestFn = (t: TestContext) => unknown;
type Hook = () => unknown;
type Hooks = Record<"before" | "after" | "beforeEach" | "afterEach", Hook[]>;

interface Test {
  readonly type: "test";
  readonly name: string;
  readonly options: TestOptions;
  readonly fn: TestFn | undefined;
}

interface Suite {
  readonly type: "suite";
  readonly name: string;
  readonly options: TestOptions;
  readonly parts: (Test | Suite)[];
  readonly hooks: Hooks;
}

/** The suite whose function is being called; none at the top of a file. */
let open: Suite | undefined;
/** Hooks for each test of a file: one that has some is the only one of its process. */
const ofFile: Pick<Hooks, "beforeEach" | "afterEach"> = { beforeEach: [], afterEach: [] };

/** A test of the suite that is open, or of the file. */
export function it(name: string, ...rest: [TestOptions, TestFn] | [TestFn] | [TestOptions]): void {
  const [options, fn] = read(rest);
  const test: Test = { type: "test", name, options: { ...open?.options, ...options }, fn };
  if (open === undefined) register(test, []);
  else open.parts.push(test);
}

export { it as test };

/** A suite: its function registers tests. */
export function describe(name: string, ...rest: [TestOptions, Hook] | [Hook]): void {
  const [options, fn] = read(rest);
  const hooks: Hooks = { before: [], after: [], beforeEach: [], afterEach: [] };
  const around = open;
  const suite: Suite = { type: "suite", name, options: { ...around?.options, ...options }, parts: [], hooks };
  open = suite;
  try {
    const returned = (fn as Hook | undefined)?.();
    if (returned instanceof Promise) throw new TypeError(`${name}: the function of a suite is not asynchronous here`);
  } finally {
    open = around;
  }
  if (around === undefined) register(suite, []);
  else around.parts.push(suite);
}

export { describe as suite };

/** Runs before the tests of the suite that is open, or of the file. */
export function before(fn: Hook): void {
  if (open === undefined) Deno.test.beforeAll(called(fn));
  else open.hooks.before.push(fn);
}

/** Runs after the tests of the suite that is open, or of the file. */
export function after(fn: Hook): void {
  if (open === undefined) Deno.test.afterAll(called(fn));
  else open.hooks.after.push(fn);
}

/** Runs before each test of the suite that is open, or of the file. */
export function beforeEach(fn: Hook): void {
  (open?.hooks ?? ofFile).beforeEach.push(fn);
}

/** Runs after each test of the suite that is open, or of the file. */
export function afterEach(fn: Hook): void {
  (open?.hooks ?? ofFile).afterEach.push(fn);
}

/** Gives Deno what it checks as one: a test, or a suite whose tests share what its hooks make. */
function register(part: Test | Suite, around: readonly Suite[]): void {
  const name = [...around, part].map(({ name }) => name).join(" > ");
  if (part.type === "test") Deno.test({ ...settings(part), name, fn: () => runTest(part, around) });
  else if (part.hooks.before.length + part.hooks.after.length > 0) {
    Deno.test({ ...settings(part), name, fn: (t) => runSuite(part, t, around) });
  } else for (const inner of part.parts) register(inner, [...around, part]);
}

async function runSuite(suite: Suite, t: Deno.TestContext, around: readonly Suite[]): Promise<void> {
  const { parts, hooks, options: { skip } } = suite;
  const suites = [...around, suite];
  // one that is skipped has no hooks; its tests are counted as skipped
  if (!skip) { for (const hook of hooks.before) await hook(); }
  try {
    for (const part of parts) {
      const fn = (s: Deno.TestContext) => part.type === "test" ? runTest(part, suites) : runSuite(part, s, suites);
      // the tests of a suite that is skipped are steps, each ignored
      await t.step({ ...settings(part), fn });
    }
  } finally {
    if (!skip) { for (const hook of hooks.after) await hook(); }
  }
}

async function runTest({ name, fn, options: { timeout } }: Test, suites: readonly Suite[]): Promise<void> {
  const controller = new AbortController();
  const late = Promise.withResolvers<never>();
  const timer = timeout === undefined ? undefined : setTimeout(() => {
    const error = new Error(`test timed out after ${timeout} ms`);
    controller.abort(error);
    late.reject(error);
  }, timeout);
  const run = async () => {
    const all = [ofFile, ...suites.map(({ hooks }) => hooks)];
    for (const hooks of all) for (const hook of hooks.beforeEach) await hook();
    try {
      await fn?.({ name, signal: controller.signal });
    } finally {
      for (const hooks of all.toReversed()) for (const hook of hooks.afterEach) await hook();
    }
  };
  try {
    await Promise.race([run(), late.promise]);
  } finally {
    clearTimeout(timer);
    controller.abort();
  }
}

function settings({ type, name, options: { skip } }: Test | Suite) {
  return {
    name,
    ignore: type === "test" && skip !== undefined && skip !== false,
    sanitizeOps: true,
    sanitizeResources: true,
    sanitizeExit: true,
  };
}

function called(fn: Hook): () => Promise<void> {
  return async () => void await fn();
}

function read<T>([first, second]: readonly [TestOptions | T, T?] | readonly [T]): [TestOptions, T | undefined] {
  return typeof first === "function" ? [{}, first as T] : [first as TestOptions, second];
}
