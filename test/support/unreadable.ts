/** A value that user code may throw, and of which nothing can be read: each look at it throws. */
export function unreadable(): unknown {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
}
