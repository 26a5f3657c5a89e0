/** A message in a log line: its id, and that of the first message of its chain when it is another. */
export function messageLabel(id: string, correlationId: string | undefined): string {
  return correlationId === undefined || correlationId === id
    ? `message ${id}`
    : `message ${id}, correlation ${correlationId}`;
}
