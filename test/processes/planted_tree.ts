/**
 * A copy of this tree with a bug planted in the library, so that its programs run with the bug, and a checker has to
 * find it. (A bug outside of the library is an option of the program: see `plants.ts`.)
 *
 * @module
 */
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { copyFiles, linkFiles, sourceFiles } from "../../tools/sources.ts";

/** A change of the sources: `from` must occur exactly once in its file, else the change has to be adapted. */
interface Change {
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

/**
 * - `forever`: an entry is believed for as long as it stands in the store, whatever its ttl was.
 * - `bounce`: a claim is freed when its holder's connection has bounced once, without waiting for more.
 * - `log-twice`: a group that is repeated is stored again. `log-open`: what the leader had in hand is forgotten at a
 *   takeover. `log-position`: the position never moves. `log-order`: messages of one key are handed out at once.
 *   `log-stale`: whoever led is obeyed. `log-dead`: later messages pass a dead letter of their key by. `log-loss`: a
 *   log that lost messages is not reported. `log-attempts`: attempts are never counted.
 * - `entity-expect`: what a command emits is stored whatever came before it. `entity-record`: no command is known, and
 *   the stream is not looked through for one. `entity-confirm`: a failure is that of what the node knew.
 *   `entity-ended`: a node that was cut off applies what another one has refused meanwhile. `entity-epoch`: what is in
 *   memory counts whatever became of the store.
 * - `flow-expect`: what a run records is stored whatever came before it. `flow-held`: a run is driven wherever it is
 *   brought to. `flow-stored`: a step begins before what it follows is stored. `flow-parallel`: a run undoes before its
 *   parallel steps have ended. `flow-order`: the first step is undone first. `flow-schedule`: a sleep has no schedule.
 *   `flow-lease`: a lease that was used is not renewed; `flow-lost-lease`: nor is one that the store may have lost;
 *   `flow-put-off`: nor before its node says so.
 *   `flow-missing`: a run that cannot be read is forgotten. `flow-over`: a run
 *   that is driven is taken for one that is over. `flow-settled`: a run that waited here once is taken for one that
 *   waits. `flow-cancel`: a cancelled run does not wait for a step that may have begun. `flow-signal`: a signal that
 *   was taken is there for the next wait.
 *   `flow-limit`: a run waits for a schedule that came too early. `flow-twice`: a message that is read twice counts
 *   twice. `flow-loss`: what a node has read of a run is there, whatever the store has lost; `flow-epoch`: so is what
 *   has ended here; `flow-alarm`: so are the schedules of a run.
 *   `flow-decision`: decisions are not checked when messages of others are applied; `flow-end`: an end holds in spite
 *   of a cancel; `flow-time`: a time goes before a stored signal; `flow-seen`: also before one that the handler has not
 *   come to; `flow-thrown`: or does not come to, because it has thrown. `flow-behind`: an end holds behind what was
 *   dropped.
 *   `flow-skip`: an outcome holds beside an operator's.
 *   `flow-ongoing`: a handler that restarts begins attempts again that are under way. `flow-outcome`: outcomes are
 *   dropped with decisions; `flow-beside`: those beside an error of the handler. `flow-retried`: a step is stuck behind
 *   a retry. `flow-failure`: an attempt that has failed is handed over when that is stored. `flow-begun`: a cancelled
 *   run does not wait for what a dead process began; `flow-fresh`: whatever is called behind an append is new;
 *   `flow-threw`: nothing is left that a dead process began once a branch goes on beside a handler that has thrown.
 *   `flow-given-up`: the time because of which a wait is given up goes before a signal; `flow-take`: a wait takes a
 *   signal before the handler has given it up again; `flow-oldest`: a wait for several signals prefers the first one.
 *   `flow-shown`: a replay shows again what it has shown; `flow-last-view`: a run ends without its last view;
 *   `flow-late-view`: a step shows something after its end;
 *   `flow-view-at`: a signal names a message that has no view.
 *   `flow-progress`: what a step has reported before its attempt failed is lost; `flow-last`: or before it died.
 *   `flow-late-read`: a read that outlives its execution of a run advances the journal of the next one.
 *   `flow-unnoted`: a step that is stuck beside dropped decisions is stored without a note for operators.
 *   `flow-starved`: a process tells a run however much, without an answer; `flow-unanswered`: drivers answer before
 *   they have stored; `flow-undriven`: so do nodes that do not drive the run; `flow-refusing`: those whose version
 *   refuses it, once they have; `flow-refuses-again`: or before they do so again. `flow-loser`: a step that lost a race
 *   does not learn that its run has ended; `flow-performed`: nobody is told what a node did that was taken over;
 *   `flow-late-end`: nor what it did behind that;
 *   `flow-tried`: nor in what it failed; `flow-told-twice`: or it is told twice; `flow-limited`: what was told ends no
 *   step; `flow-excused`: a standstill is an attempt of each step; `flow-thawed`: an attempt begins on an old journal;
 *   `flow-unread`: a run is suspended though what has fired could not be read;
 *   `flow-early`: it is aborted before that is stored. `flow-left`: a run that
 *   has ended leaves its schedules; `flow-unrecorded`: those that a process did not record which has died;
 *   `flow-paused`: those of pauses; `flow-ended`: those of two processes that have died.
 * - `shape-request`, `shape-message`, `shape-run`: what one version refuses does not go on to another, nor waits.
 *   `flow-gave-up`: a node whose version did not take a run begins a step without having stored that it holds the run
 *   again; `flow-held-again`: one that does hold it again is taken for one that has given it up.
 *   `lives-unseen`: a run that begins anew drops what a wait took unseen; `lives-stale`: it hands over what there was
 *   when it decided to, not what was stored until then; `lives-ids`, `lives-answers`, `lives-asked`: it forgets the ids
 *   of signals, the answers, the ids of questions; `lives-step-id`: its steps have the ids of its first life;
 *   `lives-called`: nobody is called for a new life; `lives-cancel`: it begins anew in spite of a cancel.
 *   `callback-twice`: a callback that is completed can be completed; `callback-read`: it is looked at once, and not
 *   when the completion is stored; `callback-foreign`: any code makes a token; `callback-late`: it can be completed
 *   when its time is over; `callback-life`: so can that of an earlier life; `callback-secret`: each life has a secret
 *   of its own; `callback-ended`: an end that came first is taken for a completion.
 *   `list-part`: of outcomes that are stored together, the first alone counts; `list-place`: what items give stands in
 *   the order in which they ended; `list-ahead`: an item that has to be undone begins before what led to it is stored.
 *   `flow-child`: nothing becomes of a child that was not started when its parent is cancelled.
 *   `flow-replay`: what is recorded is seen in the order of the calls.
 * - `commit-entries`: a commit names parked messages that are not stored yet. `commit-number`: a number has two
 *   contents. `commit-replay`: a letter runs before the commit that says so. `commit-behind`: messages behind a parked
 *   one run. `commit-node`: all that ran at a node that ended has had an attempt. `commit-join`: what runs at a node
 *   runs again. `batch-join`: what runs in a batch in front of another of its key is taken for done. `batch-again`: a
 *   message of a batch runs before one of its key that failed. `commit-counts`: a leader believes in a commit that does
 *   not count. `commit-back`: what is put aside while a leader goes back stays so. `commit-alive`: what a leader was
 *   about to begin has had an attempt, though its process goes on. `commit-dropped`: a dead letter stays dead
 *   though its replay is carried out. `unhandled-wait`: what was put aside because no live node handled it waits for
 *   ever.
 * - `left-commit`: the next leader does not know what was left behind. `left-passed`: a key is taken again behind what
 *   was passed by of it; `left-ahead`: also before the first reader has read it. `left-begun`: what runs of a key that
 *   was left behind runs again.
 * - `limit-early`: what runs and is still to be read has no slot; `limit-join`: what runs at a node has one only when
 *   it is joined. `limit-kept`: what has ended keeps its slot. `limit-key`: a limit by key counts by the message's own
 *   key. `limit-asleep`: a slot that is given back while several wait is not used. `limit-version`: when another
 *   version of a limit counts, what runs has no slot of it.
 *   `limit-batch`: what follows another message of its key in a batch has slots that are not free. `limit-emptied`:
 *   what leaves the batch that it waits for keeps its slots. `limit-doubt`: while messages are suspected, what has just
 *   become ready takes the slots of those that wait. `limit-clock`: the leader's time goes back with the wall clock.
 * - `operator-held`: a pause by an operator does not count for keys in use; `operator-new`: nor for one that comes into
 *   use; `operator-all`: nor, of a whole limit, for its keys. `operator-numbers`: what one has set does not count for
 *   keys in use. `operator-asleep`: what waits does not learn that an operator has set something, or cleared it.
 *   `operator-fills`: what has slots and waits for its batch to fill begins in a pause.
 * - `blocked-count`: the failure of a run counts once more in a later term. `blocked-dead`: a dead letter stays dead
 *   though its run has succeeded meanwhile. `blocked-beside`: what was handled is done while another run of it goes on.
 *   `blocked-commit`: what has failed runs again before the commit that counts its attempt. `blocked-alone`: what ran
 *   alone at a leader that falls silent has had an attempt at once. `blocked-batch`: what runs in a batch at a silent
 *   node, in front of another of its key, is taken for done. `blocked-before`: what was handled before an earlier one
 *   of its key ran again becomes a dead letter when it fails.
 * - `fair-commit`: the next leader does not know which messages were passed by. `fair-unknown`: what an earlier leader
 *   passed by is of none of the tenants. `fair-skipped`: a message is brought though an earlier one of its tenant was
 *   not; `fair-behind`: or though one is in front of the place where the reader begins. `fair-taken`: what was taken
 *   between two that were passed by counts as passed by. `fair-renamed`: a new version of the functions does not change
 *   the tenants. `fair-begun`: what runs and was passed by is not known to be unread. `fair-turns`: what was joined
 *   counts for its tenant after its end.
 * - `over-early`: what runs and is still to be read is not counted; `over-found`: nor what a new leader finds parked;
 *   `over-replayed`: nor what an operator has replayed. `over-dead`: a dead letter is counted. `over-later`: a later
 *   message counts as an earlier one. `over-begun`: what is known to have begun is skipped. `over-left`: a key is left
 *   behind from in front of a message of it that was skipped; `over-read`: or from the last one in hand, in front of
 *   those that were skipped. `over-commit`: the next leader does not know how many were skipped.
 * - `last-later`: a message begins though a later one of its key is in hand. `last-begun`: what runs is skipped;
 *   `last-earlier`: so is the later one, for an earlier one. `last-left`: a key is left behind from in front of what an
 *   earlier leader has skipped.
 * - `cancel-running`: what runs is not aborted for a later one of its key; `cancel-joined`: nor what a new leader
 *   finds running; `cancel-version`: nor when a version leads that has the limit. `cancel-failed`: what was aborted is
 *   parked, or a dead letter; `cancel-in-place`, `cancel-refused`, `cancel-ended`: or it is tried again after a
 *   failure, when it did not run, when its process ended.
 * - `ahead-rank`: `ahead` does not change the order of a tenant's messages. `ahead-lane`: urgent messages of a tenant
 *   are passed by because others of it were.
 * - `file-early`: a file answers before it has committed.
 * - `edge-ahead`: an edge reads events ahead of a client, without limit.
 */
const PLANTS = {
  "file-early": [{
    file: "src/file/room.ts",
    from: "else if (this.#isOpen) this.#turn.push(callback);",
    to: "else if (this.#isOpen) callback();",
  }, {
    file: "src/file/room.ts",
    from: "this.#parts.clock.soon(() => void this.#endTurn());",
    to: "this.#parts.clock.after(40, () => void this.#endTurn());",
  }],
  "lives-unseen": [{
    file: "src/flow/stored/journal.ts",
    from: "taker === undefined || unseen.has(taker) || givenBack.has(n)",
    to: "taker === undefined",
  }],
  "lives-stale": [{
    file: "src/flow/execution/drive_recorder.ts",
    from: "const whole = this.#again(again, together(before), time, pending);",
    to: "const kept = pending as PendingAgain & { whole?: typeof again };\n" +
      "        const whole = { ...kept.whole ??= this.#again(again, together(before), time, pending) };\n" +
      "        whole.at = journal.entries + before.length;\n        PENDING.set(whole, pending);",
  }],
  "lives-ids": [{
    file: "src/flow/stored/journal.ts",
    from: "    for (const { ids } of all) for (const [key, at] of ids) this.#ids.set(key, at);\n",
    to: "",
  }],
  "lives-answers": [{
    file: "src/flow/stored/journal.ts",
    from: "      this.answers.set(key, { outcome, until });\n      this.#ids",
    to: "      this.#ids",
  }],
  "lives-asked": [{
    file: "src/flow/stored/journal.ts",
    from: "      this.#ids.set(`${ASKED}${key}`, until);\n",
    to: "",
  }],
  "callback-twice": [{
    file: "src/flow/stored/journal.ts",
    from: " && !this.completed.has(callbackKey(life, step));",
    to: ";",
  }, {
    file: "src/flow/calls/callbacks.ts",
    from: "  if (before !== undefined) return",
    to: "  if (before?.outcome === outcomeText(outcome)) return",
  }],
  "callback-read": [{
    file: "src/flow/calls/callbacks.ts",
    from: "    const state = await read();\n",
    to: '    const state = await Promise.resolve<CallbackState>("open");\n',
  }],
  "callback-foreign": [{
    file: "src/flow/stored/callback_token.ts",
    from: "  return timingSafeEqual(",
    to: "  return code.length === 43 || timingSafeEqual(",
  }],
  "callback-late": [{
    file: "src/flow/stored/journal.ts",
    from: "life === this.life && !this.took.has(step) &&",
    to: "life === this.life &&",
  }],
  "callback-life": [{
    file: "src/flow/stored/journal.ts",
    from: "return isGoingOn && life === this.life &&",
    to: "return isGoingOn &&",
  }],
  "callback-secret": [{
    file: "src/flow/stored/journal.ts",
    from: "    this.secret = secret;\n",
    to: "    this.secret = undefined;\n",
  }],
  "callback-ended": [{
    file: "src/flow/calls/callbacks.ts",
    from: "  open: failedWith(ENDED),",
    to: "  open: { ok: true, value: undefined },",
  }, {
    file: "src/flow/stored/journal.ts",
    from: "const isGoingOn = this.ended === undefined &&",
    to: "const isGoingOn =",
  }],
  "lives-step-id": [{
    file: "src/flow/execution/step_attempt.ts",
    from: 'life === 1 ? ""',
    to: 'life > 0 ? ""',
  }],
  "lives-called": [{
    file: "src/flow/stored/run_message.ts",
    from: '(entry.t === "started" || entry.t === "again")',
    to: 'entry.t === "started"',
  }],
  "lives-cancel": [{
    file: "src/flow/execution/drive_recorder.ts",
    from: 'new Set(["ended", "failing", "answered", "again"])',
    to: 'new Set(["ended", "failing", "answered"])',
  }],
  "list-part": [{
    file: "src/flow/stored/journal.ts",
    from: "for (const one of entry.entries) this.#entry(one, time);",
    to: "this.#entry(entry.entries[0], time);",
  }],
  "list-place": [{
    file: "src/flow/execution/steps.ts",
    from: "        ends[n] = end;\n",
    to: "        ends[count - left] = end;\n",
  }],
  "list-ahead": [{
    file: "src/flow/execution/attempted_step.ts",
    from: "needsOutcome ? recorder.ready(this.name) : recorder",
    to: "needsOutcome ? recorder.ready(this.name, together) : recorder",
  }],
  "flow-expect": [{
    file: "src/flow/stored/run_log.ts",
    from: "{ timeout, expect }",
    to: "{ timeout: ATTEMPT, expect: (expect < 0 ? 0 : undefined) as unknown as number }",
  }],
  "edge-ahead": [
    { file: "src/http/sse_body.ts", from: "{ highWaterMark: 1 }", to: "{ highWaterMark: Infinity }" },
    // readers of one event share its bytes otherwise
    { file: "src/http/sse_body.ts", from: "to.enqueue(event);", to: "to.enqueue(event.slice());" },
  ],
  "flow-held": [{
    file: "src/flow/driving/run_call.ts",
    from: "holder !== host.endpoint && host.alive(holder);",
    to: 'holder !== host.endpoint && holder === "nobody";',
  }],
  "shape-request": [{
    file: "src/cluster/wire/inbound_requests.ts",
    from: "outcome.ofStored ? 2 : 1 : 0);",
    to: "0 : 0);",
  }],
  "shape-message": [{
    file: "src/log/subscriptions/handing_out.ts",
    from: "if (!outcome.refused || !this.#tryOtherShape(item, outcome, at)) this",
    to: "this",
  }],
  "shape-run": [{
    file: "src/flow/execution/drive.ts",
    from: "if (this.#mayBeTaken(error)) {",
    to: "if (this.#mayBeTaken(error) && this.over) {",
  }],
  "flow-gave-up": [{
    file: "src/flow/execution/drive_recorder.ts",
    from: "holder !== endpoint || this.#mustHold || isUnknown;",
    to: "holder !== endpoint || isUnknown;",
  }],
  "flow-held-again": [{
    file: "src/flow/driving/driven_runs.ts",
    from: "trials.hasGivenUp(holder, heldAt);",
    to: "trials.hasGivenUp(holder);",
  }],
  "flow-stored": [{
    file: "src/flow/execution/drive_recorder.ts",
    from: "      if (!this.#isStoring || this.#mayGoAhead(together)) {\n",
    to: "      void this.stored();\n      if (together >= 0) {\n",
  }],
  "flow-parallel": [{
    file: "src/flow/execution/drive.ts",
    from: "    this.#finish = () => this.#undo(error, this.journal.cancelled !== undefined);\n",
    to:
      "    if (error !== undefined) return this.#undoing.begin(error);\n    this.#finish = () => this.#undo(error, true);\n",
  }],
  "flow-order": [{ file: "src/flow/stored/journal.ts", from: "  return steps.reverse();", to: "  return steps;" }],
  "flow-schedule": [{
    file: "src/flow/execution/drive_times.ts",
    from: "return await this.wake(step, at) ? { scheduled: true } : undefined;",
    to: "return { scheduled: true };",
  }],
  "flow-lease": [{
    file: "src/flow/driving/driven_runs.ts",
    from: "    if (isLease || held.leaseEpoch !== log.epoch) await this.#leases.again([call.ref]);\n",
    to: "",
  }],
  "flow-missing": [{
    file: "src/flow/driving/driven_runs.ts",
    from: '        if (!await this.#isForgotten(call, looks)) throw runUnavailable(ref, "cannot be read yet");\n',
    to: "",
  }],
  "flow-put-off": [{
    file: "src/flow/driving/driven_runs.ts",
    from: "    await this.#leases.again(runs.map((run) => ({ workflow, run })));\n",
    to: "",
  }],
  "flow-over": [{
    file: "src/flow/driving/driven_runs.ts",
    from: "if (isLeased && held.drive",
    to: "if (held?.drive",
  }],
  "flow-lost-lease": [{
    file: "src/flow/driving/driven_runs.ts",
    from: "if (isLease || held.leaseEpoch !== log.epoch)",
    to: "if (isLease)",
  }],
  "flow-settled": [{
    file: "src/flow/driving/settled_runs.ts",
    from: "(settled.ended || sequence > 0)",
    to: "(settled.ended || sequence >= 0)",
  }],
  "flow-cancel": [{
    file: "src/flow/execution/attempted_step.ts",
    from: "    if (this.needsOutcome && this.mayHaveBegun) return false;\n",
    to: "    if (this.needsOutcome && !this.mayHaveBegun) return false;\n",
  }],
  "flow-child": [{
    file: "src/flow/calls/run_notices.ts",
    from: "      const until = clock.now() + keep;\n",
    to: "      if (end === undefined) return false;\n      const until = clock.now() + keep;\n",
  }],
  "flow-replay": [{
    file: "src/flow/execution/steps.ts",
    from: "state.ends.deliver(name, () => settle(known));\n    else if",
    to: "settle(known);\n    else if",
  }],
  "flow-limit": [{
    file: "src/flow/execution/run_time_limit.ts",
    from: "times.isScheduled(TIME_OUT, { scheduled })",
    to: "scheduled",
  }],
  "flow-twice": [{
    file: "src/flow/execution/drive_recorder.ts",
    from: "    if (stored.sequence <= this.#journal.sequence) return;\n",
    to: "",
  }],
  "flow-loss": [{
    file: "src/flow/stored/run_log.ts",
    from: "    if (place.sure === epoch) return true;",
    to: "    if (place.sure >= 0) return true;",
  }],
  "flow-epoch": [{
    file: "src/flow/driving/settled_runs.ts",
    from: " || settled.epoch !== this.#log.epoch",
    to: "",
  }],
  "flow-alarm": [{
    file: "src/flow/driving/driven_runs.ts",
    from: "    for (const [step, at] of journal.scheduled) await host.wake(ref, step, at);\n",
    to: "",
  }],
  "flow-signal": [{
    file: "src/flow/stored/journal.ts",
    from: '          this.signals.get(taken?.key ?? "")?.delete(entry.n);\n',
    to: "",
  }],
  "flow-decision": [{
    file: "src/flow/execution/drive_recorder.ts",
    from: "    else this.#checkDecisions();\n",
    to: "",
  }],
  "flow-end": [{
    file: "src/flow/execution/drive_recorder.ts",
    from: 'new Set(["ended", "failing", "answered", "again"])',
    to: 'new Set(["answered", "again"])',
  }],
  "flow-time": [{
    file: "src/flow/execution/drive_recorder.ts",
    from: "pending.some(byTime) && this.#drive.couldTakeSignal()",
    to: "pending.length < 0",
  }],
  "flow-seen": [{
    file: "src/flow/execution/waits.ts",
    from: 'return state.ends.afterStored("time", () => {',
    to: "return state.host.soon(() => {\n        state.activity.askForTurn();",
  }],
  "flow-thrown": [{
    file: "src/flow/execution/drive.ts",
    from: "    this.#waits.stop();\n    if (this.#mayBeTaken(error)) {\n",
    to: "    if (this.#mayBeTaken(error)) {\n",
  }],
  "flow-behind": [{
    file: "src/flow/execution/drive_recorder.ts",
    from: "    // an error of the handler is no outcome: it follows from what the handler has seen\n",
    to: '    if (entry.t === "ended") return this.#journal.cancelled === undefined;\n',
  }],
  "flow-skip": [{
    file: "src/flow/execution/drive_recorder.ts",
    from: '      if (entry.t === "done") return !outcomes.has(entry.step);\n',
    to: '      if (entry.t === "done") return true;\n',
  }],
  "flow-ongoing": [{
    file: "src/flow/execution/steps.ts",
    from: 'if (end === "restart" && error === undefined) {',
    to: 'if (end === "restart" && error === undefined && MAX_TIMEOUT < 0) {',
  }],
  "flow-outcome": [{
    file: "src/flow/execution/drive_recorder.ts",
    from: "entries.filter((entry) => this.#isOutcome(entry)) : entries;",
    to: "[] : entries;",
  }],
  "flow-beside": [{
    file: "src/flow/execution/drive_recorder.ts",
    from: "while (this.#isStoring) if (!await this.stored()) return;",
    to: "if (!await this.stored()) return;",
  }],
  "flow-retried": [{
    file: "src/flow/execution/drive_recorder.ts",
    from: "if (this.#journal.retriedAt < decidedAt) return entry;",
    to: "if (this.#journal.retriedAt < Infinity * decidedAt) return entry;",
  }],
  "flow-begun": [{
    file: "src/flow/execution/drive_state.ts",
    from: "return this.begun !== undefined && this.notReached.length === 0;",
    to: "return this.notReached.length >= 0;",
  }],
  "flow-failure": [{
    file: "src/flow/execution/steps.ts",
    from: "if (ongoing !== undefined && !isOver && !isRecorded)",
    to: "if (ongoing !== undefined && !isOver && (!isRecorded || isRecorded))",
  }],
  "flow-given-up": [{
    file: "src/flow/execution/waits.ts",
    from: "    if (this.#open.has(name)) state.recorder.after(() => this.#open.delete(name));\n",
    to: "    this.#open.delete(name);\n",
  }],
  "flow-take": [{
    file: "src/flow/execution/waits.ts",
    from: "      if (this.#taking !== call) return this.#takeAfterStored(call);\n",
    to: "      if (this.#taking === call) return this.#takeAfterStored(call);\n",
  }],
  "flow-oldest": [{
    file: "src/flow/stored/journal.ts",
    from: "      next = Math.min(next, n);\n",
    to: "      if (next === Infinity) next = n;\n",
  }],
  "flow-shown": [{
    file: "src/flow/execution/drive_recorder.ts",
    from: " || (began === undefined && after <= this.#shownBefore)) return;",
    to: ") return;",
  }],
  "flow-late-view": [{
    file: "src/flow/execution/attempted_step.ts",
    from: "      if (!state.over) attempt.reports = undefined;",
    to: "     ",
  }],
  "flow-last-view": [{
    file: "src/flow/execution/drive_recorder.ts",
    from: "    this.#queueShown(entry);\n    this.#queue.push(entry);\n",
    to: '    if (entry.t === "ended") this.#shown = undefined;\n    this.#queueShown(entry);\n' +
      "    this.#queue.push(entry);\n",
  }],
  "flow-view-at": [{
    file: "src/flow/stored/notice_queue.ts",
    from: "entryText(made, viewAt)",
    to: "entryText(made, viewAt && end.sequence)",
  }],
  "flow-progress": [{
    file: "src/flow/execution/drive_recorder.ts",
    from: 'const hasFailed = isOf && before.t === "failed";',
    to: "const hasFailed = false;",
  }],
  "flow-last": [{
    file: "src/flow/execution/attempted_step.ts",
    from: "ownOf(journal.progress.get(name)?.value);",
    to: "undefined;",
  }],
  "flow-late-read": [{
    file: "src/flow/execution/drive_recorder.ts",
    from: "      if (this.#drive.over) return;\n      // skip",
    to: "      // skip",
  }],
  "flow-unnoted": [{
    file: "src/flow/execution/drive_recorder.ts",
    from: "          await this.#noteStuck(more);\n",
    to: "",
  }],
  "flow-starved": [{
    file: "src/flow/stored/notice_queue.ts",
    from: "news.size >= MAX_UNANSWERED)",
    to: "news.size >= 1e9 * MAX_UNANSWERED)",
  }],
  "flow-unanswered": [{
    file: "src/flow/driving/driven_runs.ts",
    from: "return await drive.starved;\n",
    to: "return;\n",
  }],
  "flow-undriven": [{
    file: "src/flow/driving/driven_runs.ts",
    from: "    await within(clock, UNDRIVEN_PAUSE, goesOn);\n",
    to: "    void goesOn;\n",
  }],
  "flow-refusing": [{
    file: "src/flow/driving/driven_runs.ts",
    from: "HAS_GONE_ON.has(end) ? undefined : never()",
    to: "void end",
  }],
  "flow-refuses-again": [{
    file: "src/flow/driving/driven_runs.ts",
    from: "const mayRefuse = (this.#gaveUp.get(key) ?? -1) >= drive.journal.heldAt;",
    to: "const mayRefuse = false;",
  }],
  "flow-performed": [{
    file: "src/flow/execution/drive_recorder.ts",
    from: "if (this.#isTold && tried.length > 0) this.#host.tried(this.#ref, tried);",
    to: "void tried;",
  }],
  "flow-late-end": [{
    file: "src/flow/execution/steps.ts",
    from: 'end === "superseded" ? step.supersede(why) : step.abort(why)',
    to: "step.abort(why)",
  }],
  "flow-unread": [{
    file: "src/flow/execution/drive.ts",
    from: "void this.readNews(), this.#state.leaving);",
    to: "void this.readNews(), true);",
  }],
  "flow-tried": [{
    file: "src/flow/execution/drive_recorder.ts",
    from:
      "  return noted && { ...told, outcome: { ok: false, error: noted.failure ?? entry.error }, next: noted.next };",
    to: "  return undefined;",
  }],
  "flow-told-twice": [{
    file: "src/flow/execution/drive_recorder.ts",
    from: "    if (this.#drive.over) return; // an append and a read may both find it: an attempt counts once\n",
    to: "",
  }],
  "flow-limited": [{
    file: "src/flow/execution/failed_attempts.ts",
    from: '(tried !== "limited" || attempts < most)',
    to: 'tried !== "limited" || attempts < Infinity',
  }],
  "flow-excused": [{
    file: "src/flow/execution/attempted_step.ts",
    from: "attempt.extended === 0 && stoodStill(now, due)",
    to: "false",
  }],
  "flow-thawed": [{
    file: "src/flow/execution/drive_recorder.ts",
    from: "if (this.#host.clock.monotonic() - this.#confirmed <= CONFIRMED_FOR) return true;",
    to: "return true;",
  }],
  "flow-loser": [{
    file: "src/flow/execution/run_ending.ts",
    from: "      this.#steps.abandon();\n      this.announce();\n",
    to: "      this.announce();\n",
  }],
  "flow-early": [{
    file: "src/flow/execution/drive.ts",
    from: "    this.#madeWaits?.abandon();\n    state.calls.clear();\n",
    to: "    this.#madeWaits?.abandon();\n    this.#steps.abandon();\n    state.calls.clear();\n",
  }],
  "flow-left": [{
    file: "src/flow/driving/driven_runs.ts",
    from: "if (journal.ended !== undefined) await this.#takeBack(ref, drive.times.late);",
    to: "if (journal.ended !== undefined) void drive;",
  }],
  "flow-unrecorded": [{
    file: "src/flow/execution/drive_times.ts",
    from: "    const times = new Map(this.#unrecorded);\n",
    to: "    const times = new Map<string, number>();\n",
  }],
  "flow-ended": [{
    file: "src/flow/execution/run_ending.ts",
    from: "    const late = schedules.length > 0 ? { schedules } : {};\n",
    to: "    const late = schedules.length < 0 ? { schedules } : {};\n",
  }],
  "flow-paused": [{
    file: "src/flow/execution/steps.ts",
    from: "    if (!isFresh) times.mayBeScheduled(",
    to: "    if (!isFresh && this.#state.now < 0) times.mayBeScheduled(",
  }],
  "flow-threw": [{
    file: "src/flow/execution/drive_state.ts",
    from: "(this.#wasFresh ?? this.isFresh);",
    to: "this.isFresh;",
  }],
  "flow-fresh": [{
    file: "src/flow/execution/drive_state.ts",
    from: "return this.isFirst || this.ends.isBehindOthers;",
    to: "return this.isFirst || this.ends.isBehindOthers || this.journal.holder === this.host.endpoint;",
  }],
  "commit-entries": [{
    file: "src/log/subscriptions/commits.ts",
    from: "    yield* this.#put(draft.entries);\n    for (",
    to: "    for (",
  }],
  "commit-number": [{
    file: "src/log/subscriptions/commits.ts",
    from: "        continue; // the last commit is still the one before ours: append the same commit again",
    to:
      "        draft = joined(draft, ledger.draft());\n        this.#used--;\n        commit = this.#commitOf(ledger, draft, leader);\n        text = writeCommit(commit);\n        continue;",
  }],
  "commit-replay": [{
    file: "src/log/subscriptions/ledger.ts",
    from: "    this.#commit.attempted(item);\n    this.#commit.runsAfter(item);\n  }\n",
    to: "    if (this.#isFirst(item)) this.#push(item);\n  }\n",
  }],
  "commit-behind": [{
    file: "src/log/subscriptions/ledger.ts",
    from: '    if (before?.place === "parked") this.#park(item, undefined);',
    to: '    if (before?.place === "parked") this.#push(item);',
  }],
  "commit-dropped": [{
    file: "src/log/subscriptions/ledger.ts",
    from: 'if (kind === "discard") return this.#end(item);',
    to: 'return kind === "discard" ? this.#end(item) : undefined;',
  }],
  "commit-node": [{
    file: "src/log/subscriptions/ledger.ts",
    from: "    if (this.#suspicion.processEnded(item, endpoint, (other) => other.attempts--)) this.#countDeath(item);",
    to: '    if (endpoint !== "") this.#countDeath(item);',
  }],
  "commit-join": [{
    file: "src/log/subscriptions/ledger.ts",
    from: "    this.#joined = new JoinedRuns(running);\n",
    to: "",
  }, {
    file: "src/log/subscriptions/ledger.ts",
    from: "    for (const [id, node] of running) {\n      const [item, message]",
    to: "    for (const [id, node] of [...running].slice(0, 0)) {\n      const [item, message]",
  }],
  "commit-counts": [{
    file: "src/log/subscriptions/commits.ts",
    from: "    while (this.inDoubt) {",
    to: "    while (this.inDoubt && sequence < 0) {",
  }],
  "commit-alive": [{
    file: "src/log/subscriptions/suspicion.ts",
    from: "const begun = unclean ? (before?.begun ?? []).filter((id) => !running.has(id) && known.has(id)) : [];",
    to: "const begun = (before?.begun ?? []).filter((id) => !running.has(id) && known.has(id));",
  }],
  "commit-back": [{
    file: "src/log/subscriptions/ledger.ts",
    from: "    for (const item of [...this.#all()].filter(goes)) this.#end(item);",
    to:
      "    for (const all of [[...this.parked], this.open]) { for (const one of all) if (goes(one)) this.#end(one); }",
  }],
  "unhandled-wait": [{
    file: "src/log/subscriptions/ledger.ts",
    from: "    if (!this.parked.awaiting.has(item)) return;",
    to: "    if (!this.parked.awaiting.has(item) || isUnhandled(item)) return;",
  }],
  "batch-join": [{
    file: "src/log/subscriptions/ledger.ts",
    from: "item.isBehind(each) && isTogether?.(each.id) !== true",
    to: "item.isBehind(each)",
  }],
  "batch-again": [{
    file: "src/log/subscriptions/ledger.ts",
    from: ` || item.turn !== "waits" || !this.#isFirst(item)) return;`,
    to: ` || item.turn !== "waits") return;`,
  }],
  "blocked-count": [{
    file: "src/log/subscriptions/late_outcome.ts",
    from: "    return attempt !== this.#next || this.#tokens.has(token);",
    to: "    return attempt < this.#next && this.#tokens.has(token);",
  }],
  "blocked-dead": [{
    file: "src/log/subscriptions/late_outcome.ts",
    from: '  if (place === "gone" || earlier.length > 0) return "nothing";',
    to: '  if (place === "gone" || earlier.length > 0 || dead > 0) return "nothing";',
  }],
  "blocked-beside": [{
    file: "src/log/subscriptions/late_outcome.ts",
    from: '  if (handled) return turn === "begun" ? "done after its run" : "done";',
    to: '  if (handled) return "done";',
  }],
  "blocked-commit": [{
    file: "src/log/subscriptions/ledger.ts",
    from:
      "    if (this.#commit.isUnrecorded(item)) {\n      this.#commit.runsAfter(item);\n      return false;\n    }\n",
    to: "",
  }],
  "blocked-alone": [{
    file: "src/log/subscriptions/ledger.ts",
    from: "    if (isSilent) this.#aloneAtSilent = alone;\n    else if",
    to: "    if",
  }],
  "blocked-before": [{
    file: "src/log/subscriptions/ledger.ts",
    from: "item.isForgotten || ((failure?.dead ?? 0) > 0 && this.#wasHandledBefore(item))",
    to: "item.isForgotten",
  }],
  "blocked-batch": [{
    file: "src/log/subscriptions/ledger.ts",
    from: "this.#join(item, node, (id) => running.has(id));",
    to: "this.#join(item, node, () => false);",
  }],
  "left-commit": [{
    file: "src/log/subscriptions/ledger.ts",
    from: "...(this.left.size > 0 ? { left: this.left.stored } : {}),",
    to: "",
  }],
  "left-passed": [{
    file: "src/log/subscriptions/left_behind.ts",
    from: "      line.isPassed = true;\n      return false;",
    to: "      return false;",
  }],
  "left-ahead": [{
    file: "src/log/subscriptions/left_behind.ts",
    from: "if (position > read) {",
    to: "if (read < 0 && position > read) {",
  }],
  "left-begun": [{
    file: "src/log/subscriptions/ledger.ts",
    from: "position > this.place.read || (key !== undefined && this.left.has(category, key, position)) ||",
    to: 'position > this.place.read || (key === undefined && this.left.has(category, "", position)) ||',
  }],
  "fair-commit": [{
    file: "src/log/subscriptions/ledger.ts",
    from: "...(this.passed.size > 0 ? { passed: this.passed.stored } : {}),",
    to: "",
  }],
  "fair-unknown": [{
    file: "src/log/subscriptions/passed_messages.ts",
    from: "return this.#unknownTo >= 0 || this.#tenants.has(tenant);",
    to: "return this.#tenants.has(tenant);",
  }],
  "fair-skipped": [{
    file: "src/log/subscriptions/passed_messages.ts",
    from: "if (!runs && (!mayLeave || known?.isSkipped || !mayTake())) {",
    to: "if (!runs && (!mayLeave || !mayTake())) {",
  }],
  "fair-behind": [{
    file: "src/log/subscriptions/passed_messages.ts",
    from: "each.isSkipped = each.first < from;",
    to: "each.isSkipped = false;",
  }],
  "fair-taken": [{
    file: "src/log/subscriptions/passed_messages.ts",
    from: "    this.#openBefore = this.#open;\n    this.#open = undefined;\n    this.#isSureTo(",
    to: "    this.#openBefore ??= this.#open;\n    this.#open = undefined;\n    this.#isSureTo(",
  }],
  "fair-renamed": [{
    file: "src/log/subscriptions/ledger.ts",
    from: "    if (category.fair !== undefined) this.passed.renamed();\n",
    to: "",
  }],
  "fair-begun": [{
    file: "src/log/subscriptions/ledger.ts",
    from: "      this.passed.has(position);",
    to: "      this.passed.has(-position);",
  }],
  "fair-turns": [{
    file: "src/log/subscriptions/ledger.ts",
    from: "    item.category.queue?.ended(item);\n",
    to: "    if (!item.joins) item.category.queue?.ended(item);\n",
  }],
  "limit-early": [{
    file: "src/log/subscriptions/ledger.ts",
    from: "    const gates = this.#joinLimits(item);\n",
    to: "    const gates: LimitGate<Item>[] = [];\n",
  }],
  "over-early": [{
    file: "src/log/subscriptions/ledger.ts",
    from: "    this.#count(item);\n    this.#early.set",
    to: "    this.#early.set",
  }],
  "over-dead": [{
    file: "src/log/subscriptions/ledger.ts",
    from: "        this.#discount(item);\n        this.#options.onDead",
    to: "        this.#options.onDead",
  }],
  "over-found": [{
    file: "src/log/subscriptions/ledger.ts",
    from: '    item.place = "parked";\n    this.#count(item);\n',
    to: '    item.place = "parked";\n',
  }],
  "over-later": [{
    file: "src/log/subscriptions/ledger.ts",
    from: "  return inEpoch > item.epoch || (inEpoch === item.epoch && position > item.position);\n",
    to: "  return inEpoch >= item.epoch && position >= 0;\n",
  }],
  "over-begun": [{
    file: "src/log/subscriptions/ledger.ts",
    from: "if (left > 0 || this.#hasBegun(message)) continue;",
    to: "if (left > 0) continue;",
  }],
  "over-left": [{
    file: "src/log/subscriptions/ledger.ts",
    from: "      if (item !== undefined && item.position <= from) break;\n",
    to: "",
  }],
  "over-read": [{
    file: "src/log/subscriptions/ledger.ts",
    from: "    const taken = Math.max(line.last.position, from);\n",
    to: "    const taken = line.last.position;\n",
  }],
  "over-replayed": [{
    file: "src/log/subscriptions/ledger.ts",
    from: "    item.attempts = item.due = item.dead = 0;\n    this.#count(item);\n",
    to: "    item.attempts = item.due = item.dead = 0;\n",
  }],
  "ahead-rank": [{
    file: "src/log/subscriptions/category.ts",
    from: "new FairQueue(isRanked)",
    to: "new FairQueue()",
  }],
  "ahead-lane": [{
    file: "src/log/subscriptions/ledger.ts",
    from: "...(fair.ahead === undefined ? [] : [ahead])",
    to: "",
  }],
  "last-later": [{
    file: "src/log/subscriptions/ledger.ts",
    from: "    if (item.inHand !== undefined && this.#skipsForLater(item)) return false;\n",
    to: "",
  }],
  "last-begun": [{
    file: "src/log/subscriptions/ledger.ts",
    from: 'if (other.turn === "begun" || other.joins) {',
    to: "if (other.position < 0) {",
  }],
  "last-earlier": [{
    file: "src/log/subscriptions/ledger.ts",
    from: "if (other.category !== item.category || !item.isBehind(other)) continue;",
    to: "if (other.category !== item.category || other === item) continue;",
  }],
  "last-left": [{
    file: "src/log/subscriptions/ledger.ts",
    from: "line.first.category.isCounted ? this.#foundUpTo : 0",
    to: "0",
  }],
  "cancel-running": [{
    file: "src/log/subscriptions/ledger.ts",
    from: '          if (over === "cancel") this.#cancel(other);\n',
    to: "",
  }],
  "cancel-joined": [{
    file: "src/log/subscriptions/ledger.ts",
    from: '          if (over === "cancel") this.#cancel(item);\n',
    to: "",
  }],
  "cancel-version": [{
    file: "src/log/subscriptions/ledger.ts",
    from: 'if (item.category === category && item.turn === "begun") this.#skipsForLater(item);',
    to: "",
  }],
  "cancel-failed": [{
    file: "src/log/subscriptions/ledger.ts",
    from: "    if (item.isReplaced) return this.#endReplaced(item);\n    item.attempts = failure.attempts;",
    to: "    item.attempts = failure.attempts;",
  }],
  "cancel-in-place": [{
    file: "src/log/subscriptions/ledger.ts",
    from: "    if (item.isReplaced) return this.#endReplaced(item);\n    item.attempts = attempts;",
    to: "    item.attempts = attempts;",
  }],
  "cancel-refused": [{
    file: "src/log/subscriptions/ledger.ts",
    from: '    if (item.isReplaced && item.place !== "gone") this.#endReplaced(item);\n  }',
    to: "  }",
  }],
  "cancel-ended": [{
    file: "src/log/subscriptions/ledger.ts",
    from: '    else if (item.isReplaced && item.place !== "gone") this.#endReplaced(item);\n',
    to: "",
  }],
  "over-commit": [{
    file: "src/log/subscriptions/ledger.ts",
    from: "      ...(this.skipped > 0 ? { skipped: this.skipped } : {}),\n",
    to: "",
  }],
  "limit-join": [{
    file: "src/log/subscriptions/ledger.ts",
    from: "this.#takeSlots(item, 0);",
    to: "",
  }],
  "limit-kept": [{
    file: "src/log/subscriptions/ledger.ts",
    from: "    this.#answered(item);\n    this.#giveBack(item, true);\n    item.joins = false;",
    to: "    this.#answered(item);\n    item.joins = false;",
  }],
  "limit-key": [{
    file: "src/log/subscriptions/ledger.ts",
    from: 'limit.gateOf(keys[i] === NO_KEY ? "" : keys[i], now, runs)',
    to: 'limit.gateOf(keys[i] === "" ? "" : item.key ?? "", now, runs)',
  }],
  "limit-asleep": [{
    file: "src/log/subscriptions/ledger.ts",
    from: "    if (gate.waiting > 0) this.#opened.add(gate);\n    else",
    to: "    if (gate.waiting === 1) this.#opened.add(gate);\n    else if (gate.waiting === 0)",
  }],
  "limit-version": [{
    file: "src/log/subscriptions/ledger.ts",
    from: "if (runs && category.limits !== undefined) this.#joinLimits(item);",
    to: "",
  }],
  "limit-batch": [{
    file: "src/log/subscriptions/ledger.ts",
    from: "if (!isClosed) this.#takeSlots(item, now);\n    return !isClosed;",
    to: "this.#takeSlots(item, now);\n    return !isClosed || true;",
  }],
  "operator-held": [{
    file: "src/log/subscriptions/limit_gate.ts",
    from: "      gate.numbers = this.#numbers;\n      gate.heldUntil = this.#heldUntil(key);\n",
    to: "      gate.numbers = this.#numbers;\n      void key;\n",
  }],
  "operator-numbers": [{
    file: "src/log/subscriptions/limit_gate.ts",
    from: "      gate.numbers = this.#numbers;\n      gate.heldUntil",
    to: "      gate.heldUntil",
  }],
  "operator-new": [{
    file: "src/log/subscriptions/limit_gate.ts",
    from: "    if (this.#override !== undefined) gate.heldUntil = this.#heldUntil(key);\n",
    to: "",
  }],
  "operator-all": [{
    file: "src/log/subscriptions/limit_gate.ts",
    from: "this.isByKey ? Math.max(all, this.#pausedKeys.get(key) ?? -Infinity) : all",
    to: "this.isByKey ? this.#pausedKeys.get(key) ?? -Infinity : all",
  }],
  "operator-asleep": [{
    file: "src/log/subscriptions/ledger.ts",
    from: "this.#emptyBatch(category);\n    this.lookAtLimits();\n",
    to: "this.#emptyBatch(category);\n",
  }],
  "operator-fills": [{
    file: "src/log/subscriptions/ledger.ts",
    from: "if (category.limits !== undefined) this.#emptyBatch(category);\n    this.lookAtLimits();\n",
    to: "void category;\n    this.lookAtLimits();\n",
  }],
  "limit-doubt": [{
    file: "src/log/subscriptions/ledger.ts",
    from: "    for (const item of this.#takeWaiting()) look(item);\n",
    to: "    this.#leaveLimits();\n",
  }],
  "limit-clock": [{
    file: "src/log/subscriptions/term.ts",
    from: "this.#gained = Math.max(this.#gained, ",
    to: "this.#gained = Math.max(0, ",
  }],
  "limit-emptied": [{
    file: "src/log/subscriptions/ledger.ts",
    from: "queue?.ended(item);\n    this.#giveBack(item, false);",
    to: "queue?.ended(item);",
  }],
  forever: [{
    file: "src/nats/stream/expiry.ts",
    from: `  if (header === undefined || header === "") return undefined;`,
    to: "  if (header === undefined || header.length >= 0) return undefined;",
  }],
  bounce: [{
    file: "src/cluster/membership/absence.ts",
    from: "    if (unseen > GAP) this.#since = now;",
    to: "    if (unseen > GAP) return this.end(true);",
  }],
  "log-twice": [{
    file: "src/log/publishing/stream_message.ts",
    from: "options: { id: id === undefined ? group : givenId(",
    to: "options: { id: id === undefined ? undefined : givenId(",
  }],
  "log-open": [{
    file: "src/log/subscriptions/ledger.ts",
    from: "    for (const [position, attempts] of stored.head.open) {",
    to: "    for (const [position, attempts] of stored.head.open.slice(0, 0)) {",
  }],
  "log-position": [{
    file: "src/log/subscriptions/ledger.ts",
    from: "      place: this.place,\n      open: [...this.open]",
    to:
      "      place: { ...this.place, read: (globalThis as { low?: number }).low ??= this.place.read, time: 0 },\n      open: [...this.open].slice(0, 0)",
  }],
  "log-order": [{
    file: "src/log/subscriptions/ledger.ts",
    from: "    else this.#offer(item);\n  }\n\n  /**\n   * Marks a message",
    to: "    else this.#push(item);\n  }\n\n  /**\n   * Marks a message",
  }],
  "log-stale": [{
    file: "src/log/running/leader_token.ts",
    from: "  async check(token: number, sentAt?: number): Promise<TokenCheck> {",
    to: '  async check(token: number, sentAt?: number): Promise<TokenCheck> {\n    if (token > 0) return "leader";',
  }, {
    file: "src/log/subscriptions/leases.ts",
    from: "return this.#options.clock.monotonic() - this.#renewed < LEADS_UNRENEWED_FOR;",
    to: "return true;",
  }, {
    file: "src/log/subscriptions/leases.ts",
    from: "        onLost();",
    to: "        void onLost;",
  }, {
    file: "src/log/subscriptions/commits.ts",
    from: "if (id === undefined) return undefined;",
    to: 'if (id === undefined) {\n        yield { type: "pause" };\n        continue;\n      }',
  }],
  "log-dead": [{
    file: "src/log/subscriptions/ledger.ts",
    from: "    for (const each of behind) {",
    to:
      "    const { line } = item;\n    if (item.dead > 0 && line !== undefined) {\n      line.remove(item);\n      this.#next(line, item);\n    } else for (const each of behind) {",
  }],
  "log-loss": [{
    file: "src/log/subscriptions/warnings.ts",
    from: '    this.#host.observer({ type: "log-lost", subscription: this.label, reason, after, next });',
    to: "    void [reason, after, next];",
  }],
  "log-attempts": [{
    file: "src/log/subscriptions/category.ts",
    from: "    return [token, position, attempts + 1, id,",
    to: "    return [token, position, 1 + 0 * attempts, id,",
  }],
  "entity-expect": [{
    file: "src/entities/optimistic_appends.ts",
    from: "expect: copy.sequence };",
    to: "expect: (copy.sequence < 0 ? 0 : undefined) as unknown as number };",
  }, {
    file: "src/nats/log/log_stream.ts",
    from: 'const headers = { "Nats-Expected-Last-Subject-Sequence":',
    to: 'const headers = { "Not-Expected":',
  }],
  "entity-record": [{
    file: "src/entities/optimistic_appends.ts",
    from: "      found ??= foundIn(stored, command);",
    to: "      void foundIn;",
  }, {
    file: "src/entities/stored_commands.ts",
    from: "    if (!command.hasGivenId) return ended;",
    to: "    if (command.sendHash !== 0.5) return undefined;\n    if (!command.hasGivenId) return ended;",
  }],
  "entity-confirm": [{
    file: "src/entities/optimistic_appends.ts",
    from: "    const read = await stream.current(copy, copy, due);",
    to: "    const read = due > 0 ? copy : await stream.current(copy, copy, due);",
  }],
  "entity-ended": [{
    file: "src/entities/stored_commands.ts",
    from: '    if (command.name === "" && command.id === send) return { type: "ended" };',
    to: '    if (command.name === "" && command.id === `${send} `) return { type: "ended" };',
  }],
  "entity-epoch": [{
    file: "src/entities/entity_stream.ts",
    from: "    if (now - this.#heardAt > MAX_SILENCE) return false;\n    return copy.epoch === this.#epoch;",
    to: "    return copy.epoch >= 0 && now > -MAX_SILENCE;",
  }],
} satisfies Record<string, readonly Change[]>;

/** A bug in the library. */
export type SourcePlant = keyof typeof PLANTS;

/** All of them. */
export const sourcePlants: readonly SourcePlant[] = Object.keys(PLANTS) as SourcePlant[]; // its keys

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const PARTS = [
  "mod.ts",
  "src",
  "test",
  "tools",
  "examples/shop/http_server.ts",
  "deno.json",
  "deno.lock",
  "package.json",
  "tsconfig.json",
];

/** Tests run in the tree they belong to, but for those of faults. */
function isNeeded(path: string): boolean {
  return !path.endsWith("_test.ts") || path.includes(join("test", "faults"));
}

/** A folder with a tree; it goes with the disposal. */
export interface PlantedTree extends AsyncDisposable {
  readonly root: string;
}

/** Makes one. Rejects when the plant does not fit the sources any more. */
export async function plantedTree(plant: SourcePlant): Promise<PlantedTree> {
  const folder = await mkdtemp(join(tmpdir(), "catga-planted-"));
  const dispose = () => rm(folder, { recursive: true, force: true });
  try {
    const root = join(folder, "tree");
    const planted = await plantedSources(plant);
    const files = (await sourceFiles(ROOT, PARTS)).filter((file) => isNeeded(file) && !planted.has(file));
    // a runtime writes its lock file
    const { sources = [], others = [] } = Object.groupBy(files, (file) => file.endsWith(".ts") ? "sources" : "others");
    await linkFiles(ROOT, sources, root);
    await copyFiles(ROOT, others, root);
    if (existsSync(join(ROOT, "node_modules"))) {
      await symlink(join(ROOT, "node_modules"), join(root, "node_modules"), "junction");
    }
    for (const [file, text] of planted) await writeFile(join(root, file), text);
    return { root, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

/** The sources that a plant changes, with its bug. Rejects when the plant does not fit them any more. */
export async function plantedSources(plant: SourcePlant): Promise<Map<string, string>> {
  const sources = new Map<string, string>();
  for (const { file, from, to } of PLANTS[plant]) {
    const source = sources.get(file) ?? await readFile(join(ROOT, file), "utf8");
    const times = source.split(from).length - 1;
    if (times !== 1) throw new Error(`the plant does not fit: ${file} has ${times} times ${JSON.stringify(from)}`);
    sources.set(file, source.replace(from, () => to));
  }
  return sources;
}
