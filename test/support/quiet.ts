import type { Logger } from "../../src/contract/nodes/observer.ts";

/** Logs nothing. */
export const QUIET: Logger = { debug() {}, info() {}, warn() {}, error() {} };
