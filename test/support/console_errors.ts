/** What goes to `console.error` while `work` runs, line by line; nothing of it is shown. */
export async function consoleErrors(work: () => Promise<void>): Promise<unknown[][]> {
  const told: unknown[][] = [];
  const { error } = console;
  console.error = (...line: unknown[]) => void told.push(line);
  try {
    await work();
  } finally {
    console.error = error;
  }
  return told;
}
