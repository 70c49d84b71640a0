/**
 * What the page and the worker say to each other, all in one place.
 *
 * Questions and answers go through Comlink (`Engine`); the tokens of a generation go through a
 * MessagePort of their own (`FromRun`, `ToRun` in protocol/core.ts), so that Stop never waits behind
 * an answer.
 */

import type { Remote } from "comlink";
import type { AdapterService } from "./protocol/adapter";
import type { BringService } from "./protocol/bring";
import type { ClaimsService } from "./protocol/claims";
import type { ConsoleService } from "./protocol/console";
import type { Core } from "./protocol/core";
import type { EmbedService } from "./protocol/embed";
import type { EnsembleService } from "./protocol/ensemble";
import type { LensService } from "./protocol/lens";
import type { LensChangeService } from "./protocol/lens-change";
import type { LimitsService } from "./protocol/limits";
import type { QuantizeService } from "./protocol/quantize";
import type { ReadService } from "./protocol/read";
import type { SpecialistService } from "./protocol/specialist";
import type { StepService } from "./protocol/step";
import type { TalkService } from "./protocol/talk";
import type { TasksService } from "./protocol/tasks";
import type { TrainService } from "./protocol/train";

export * from "./protocol/core";

/**
 * What only some visitors ask, a service a file: `lensChange.effect` is `effect` of the class
 * `Service` in thimble/browser/lens_change.py, by the same arguments in the same order, unless
 * worker/services.ts has more to do for it. Python takes lists and objects as JSON, and numbers in
 * bytes come back as an ArrayBuffer.
 */
export interface Services {
  readonly adapter: AdapterService;
  readonly bring: BringService;
  readonly claims: ClaimsService;
  readonly console: ConsoleService;
  readonly embed: EmbedService;
  readonly ensemble: EnsembleService;
  readonly lens: LensService;
  readonly lensChange: LensChangeService;
  readonly limits: LimitsService;
  readonly quantize: QuantizeService;
  readonly read: ReadService;
  readonly specialist: SpecialistService;
  readonly step: StepService;
  readonly talk: TalkService;
  readonly tasks: TasksService;
  readonly train: TrainService;
}

/** What the worker answers to. Errors carry their kind in `name`. */
export type Engine = Core & Services;

type Asked<Method> = Method extends (...args: infer Args) => infer Answer
  ? (...args: Args) => Promise<Awaited<Answer>>
  : never;

/** The engine as the page has it: every answer is one to wait for. */
export type RemoteEngine = Remote<Core> & {
  readonly [Name in keyof Services]: {
    readonly [Method in keyof Services[Name]]: Asked<Services[Name][Method]>;
  };
};
