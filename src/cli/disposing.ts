/** `await using` in a form that Node 22 can read. */

/** Runs `work` with a resource, and disposes of it when `work` has ended, however it ends. */
export async function disposing<R extends AsyncDisposable, T>(
  opening: Promise<R>,
  work: (resource: R) => Promise<T>,
): Promise<T> {
  const resource = await opening;
  try {
    return await work(resource);
  } finally {
    await resource[Symbol.asyncDispose]();
  }
}
