// Of answers that come late, only the newest question's counts.

export interface Versioned {
  /** Rises from answer to answer. */
  version: number;
  /** 0: from every pixel */
  z: number;
}

/** Runs one question at a time; of those asked meanwhile only the newest is run. */
export class Latest<T> {
  private running = false;
  private next: (() => Promise<T>) | null = null;

  constructor(
    private readonly take: (answer: T) => void,
    private readonly fail: (error: unknown) => void,
  ) {}

  ask(question: () => Promise<T>): void {
    this.next = question;
    if (!this.running) void this.run();
  }

  /** Forget what waits, and the answer to what runs. */
  drop(): void {
    if (this.running) this.next = () => Promise.reject(DROPPED);
  }

  private async run(): Promise<void> {
    this.running = true;
    while (this.next) {
      const question = this.next;
      this.next = null;
      try {
        const answer = await question();
        if (!this.next) this.take(answer);
      } catch (error) {
        if (error !== DROPPED && !this.next) this.fail(error);
      }
    }
    this.running = false;
  }
}

/** Questions that are answered twice: from the overview at once, and later from every pixel, by an event. */
export class Refined<T extends Versioned> extends Latest<T> {
  /** Events with a higher version refine what is shown. */
  private version = 0;
  private shown = 0;
  private question: (() => Promise<T>) | null = null;
  /** The version for which the question was asked again. */
  private renewed = -1;
  /** An event may come before the answer that it refines. */
  private early: T | null = null;

  constructor(
    private readonly show: (answer: T) => void,
    fail: (error: unknown) => void,
  ) {
    super((answer) => this.first(answer), fail);
  }

  override ask(question: () => Promise<T>): void {
    this.version = Number.POSITIVE_INFINITY;
    this.question = question;
    super.ask(question);
  }

  /** The program keeps the newest answer only, and another window may have asked since: ask again, once. */
  renew(): void {
    if (!this.question || this.renewed === this.shown) return;
    this.renewed = this.shown;
    this.ask(this.question);
  }

  override drop(): void {
    this.version = Number.POSITIVE_INFINITY;
    this.question = null;
    super.drop();
  }

  /** Take what refines the newest answer. */
  refine(answer: T): void {
    this.early = answer;
    if (answer.version > this.version) this.first(answer);
  }

  private first(answer: T): void {
    const newest = this.early && answer.z > 0 && this.early.version > answer.version ? this.early : answer;
    // What every pixel has answered needs no refining: a later event belongs to an earlier question
    this.version = newest.z > 0 ? newest.version : Number.POSITIVE_INFINITY;
    this.shown = newest.version;
    this.show(newest);
  }
}

const DROPPED = new Error("dropped");
