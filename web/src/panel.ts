// What every tool of the page has, and what the page gives to tools.

import type { Info, Output, Pixel, Source, SourceEvent } from "./source";
import type { Stage } from "./stage";
import type { Status } from "./status";

export interface Page {
  readonly source: Source;
  readonly info: Info;
  readonly stage: Stage;
  readonly status: Status;
  /** The output that is shown and clicked on. */
  readonly output: Output;
  /** Show the picture below in grey, so that a result over it can be read. */
  greyBase(grey: boolean): void;
  /** Show an error in the page; those that only mean "ask again" are left out. */
  fail(error: unknown): void;
}

export interface Panel {
  readonly name: string;
  readonly title: string;
  readonly element: HTMLElement;
  /** The tool is chosen: show what it shows on the map. */
  enter(): void;
  /** Another tool is chosen: take it away. */
  leave(): void;
  /** A click, or Enter at the crosshair; `other`: with Shift. */
  act(pixel: Pixel, other: boolean): void;
  /** What the result over the picture is at a pixel, in words. */
  describe(pixel: Pixel): string;
  /** A key that isn't the map's; whether it meant something. */
  key(event: KeyboardEvent): boolean;
  hear(event: SourceEvent): void;
  /** The program no longer has the result that is shown. */
  renew(): void;
  /** Another output is shown. */
  changeOutput(): void;
}
