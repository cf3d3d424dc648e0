// Of answers that come late, only the newest question's counts.

/** Runs one question at a time; of those asked meanwhile only the newest is run. */
export class Latest<T> {
  private running = false;
  private next: (() => Promise<T>) | null = null;

  constructor(
    private readonly take: (answer: T) => void,
    private readonly fail: (error: unknown) => void,
  ) {}

  get waiting(): boolean {
    return this.running;
  }

  ask(question: () => Promise<T>): void {
    this.next = question;
    if (!this.running) void this.run();
  }

  /** Forget what waits and the answer to what runs. */
  drop(): void {
    this.next = () => Promise.reject(DROPPED);
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

const DROPPED = new Error("dropped");
