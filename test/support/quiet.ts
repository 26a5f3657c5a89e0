import type { Logger } from "../../src/contract/logger.ts";

/** Logs nothing. */
export const QUIET: Logger = { debug() {}, info() {}, warn() {}, error() {} };
