/** Marks the lines of a program that are meant for the bench among those that a peer may print. */
export const MARK = "@bench ";
