/** The dashboard of the demo's cluster, served by the command line tool in this process. */
import { cli } from "@catga/catga/cli";

/**
 * Serves it until the signal aborts; resolves with the address to open. Rejects with what the tool said if it cannot.
 */
export function openDashboard(nats: string, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = "";
    const ended = cli(["dashboard", "--port", "0", "--nats", nats], {
      write: (text) => resolve(text.trim()),
      say: (line) => said += `${line}\n`,
      read: () => Promise.resolve(""),
      colors: false,
      environment: {},
      signal,
    });
    void ended.then(() => reject(new Error(said)));
  });
}
