/** What the worker answers to the Talk panel. */

export interface TalkAbout {
  /** Whether the model's file says how a conversation is written down for it. */
  readonly template: boolean;
  readonly architecture: string;
  /** Tokens that a conversation may have. */
  readonly context: number;
}

export interface TalkService {
  about(session: number): TalkAbout;
}
