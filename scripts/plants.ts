/**
 * Bugs that a test node can be given, to see whether a test finds them.
 *
 * @module
 */

/**
 * In one of {@link PLANTED} runs of a handler: it answers and has not run; it has run twice. With `leak` something of every
 * run, and of every answer, is kept for ever.
 */
export type Plant = "lost-acknowledgement" | "double-run" | "leak";

/** A planted bug strikes at every so many runs. */
export const PLANTED = 20;
