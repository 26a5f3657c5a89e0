/** The HTML of the dashboard's page. */
import { RUN_STATUS } from "../../contract/calls/flow.ts";

/** Returns the HTML of a section with its title; scripts fill the section. */
function filled(id: string, title: string): string {
  return `<section id="${id}" aria-labelledby="${id}-title"><h2 id="${id}-title">${title}</h2></section>`;
}

/**
 * The page's file index.html.
 * @decides the HTML of the page, its sections and icon
 */
export const MARKUP = `<!DOCTYPE html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <title>Catga</title>
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <link rel="icon" href="icon.svg">
    <link rel="stylesheet" href="page.css">
    <script type="module" src="app.js"></script>
  </head>
  <body class="read-only">
    <a class="unseen skip" href="#main">Skip to the overview</a>
    <header>
      <h1>Catga <span id="namespace"></span></h1>
      <p id="connection" role="status">connecting</p>
      <nav aria-label="Sections">
        <a href="#alarms">Alarms</a>
        <a href="#nodes">Nodes</a>
        <a href="#contracts">Contracts</a>
        <a href="#subscriptions">Subscriptions</a>
        <a href="#letters">Dead letters</a>
        <a href="#retries">Retries</a>
        <a href="#runs">Runs</a>
        <a href="#locks">Locks</a>
        <a href="#schedules">Schedules</a>
        <a href="#timeline">Timeline</a>
        <a href="#server">NATS</a>
        <a href="#events">Events</a>
        <a href="#search">Search</a>
        <a href="#entity">Entities</a>
      </nav>
    </header>
    <ul id="problems" role="alert" hidden></ul>
    <main id="main" tabindex="-1">
      <section id="alarms" aria-labelledby="alarms-title">
        <h2 id="alarms-title">Alarms</h2>
        <p id="all-well" class="state good" hidden>Nothing is wrong.</p>
        <p id="alarms-said" class="unseen" role="status"></p>
      </section>
      <dl id="tiles"></dl>
      <section id="traffic" aria-labelledby="traffic-title">
        <h2 id="traffic-title">Traffic</h2>
        <canvas role="img" aria-label="Requests between nodes"></canvas>
        <p class="note" id="traffic-note"></p>
      </section>
      ${filled("nodes", "Nodes")}
      ${filled("contracts", "Contracts")}
      ${filled("subscriptions", "Subscriptions")}
      <section id="letters" aria-labelledby="letters-title">
        <h2 id="letters-title">Dead letters</h2>
        <div id="groups"></div>
        <div class="bar" id="letters-bar"></div>
      </section>
      ${filled("retries", "Retries")}
      <section id="runs" aria-labelledby="runs-title">
        <h2 id="runs-title">Workflow runs</h2>
        <form class="bar" id="runs-form">
          <label>workflow <input id="runs-workflow" autocomplete="off" placeholder="all"></label>
          <label>status <select id="runs-status">
            <option value="">all</option>
            ${RUN_STATUS.map((each) => `<option${each === "stuck" ? " selected" : ""}>${each}</option>`).join("")}
          </select></label>
          <button type="submit">Look</button>
          <label>error <input id="runs-cause" autocomplete="off" placeholder="any"></label>
        </form>
        <p class="note" id="runs-about" role="status"></p>
      </section>
      ${filled("locks", "Locks and leaders")}
      ${filled("schedules", "Schedules")}
      ${filled("timeline", "Timeline")}
      <section id="server" aria-labelledby="server-title">
        <h2 id="server-title">NATS</h2>
        <p class="note" id="server-about"></p>
      </section>
      <section id="events" aria-labelledby="events-title">
        <h2 id="events-title">Events</h2>
        <div class="bar" id="events-bar"></div>
      </section>
      <section id="search" aria-labelledby="search-title">
        <h2 id="search-title">Search</h2>
        <form class="bar" id="search-form">
          <label>id, key or correlation id <input id="search-text" required autocomplete="off" maxlength="300"></label>
          <button type="submit">Search</button>
        </form>
        <p class="note" id="search-about" role="status"></p>
      </section>
      <section id="entity" aria-labelledby="entity-title">
        <h2 id="entity-title">Entities</h2>
        <form class="bar" id="entity-form">
          <label>type <input id="entity-type" autocomplete="off" placeholder="all"></label>
          <label>id <input id="entity-id" autocomplete="off" placeholder="those that changed last"></label>
          <button type="submit">Look</button>
        </form>
        <p class="note" id="entity-about" role="status"></p>
        <div id="entity-list"></div>
        <div id="entity-history"></div>
      </section>
    </main>
    <dialog id="confirm" aria-labelledby="confirm-question">
      <p id="confirm-question"></p>
      <div id="confirm-fields"></div>
      <div class="bar">
        <button type="button" id="confirm-no">Back</button>
        <button type="button" id="confirm-yes" class="strong"></button>
      </div>
    </dialog>
    <p id="said" role="status"></p>
    <noscript>This page needs JavaScript.</noscript>
  </body>
</html>
`;

/** The page's file icon.svg. */
export const ICON = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">
  <path d="M3 4 L13 4 L8 13 Z" fill="none" stroke="#2f7d6b" stroke-width="1.5" />
  <circle cx="3" cy="4" r="2.5" fill="#2f7d6b" />
  <circle cx="13" cy="4" r="2.5" fill="#2f7d6b" />
  <circle cx="8" cy="13" r="2.5" fill="#2f7d6b" />
</svg>
`;
