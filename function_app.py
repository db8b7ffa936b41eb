"""Triggers only: parse, call one thing, return. What a function does is written where it is done."""

import azure.functions as func

from sync import capture, fanout, history, jobs, poll, retention, wiring

app = func.FunctionApp()


@app.function_name("tick")
@app.timer_trigger(arg_name="timer", schedule="%SYNC_TICK%", run_on_startup=False)
def tick(timer: func.TimerRequest) -> None:  # noqa: ARG001 - the worker passes it by this name
    """Queue jobs for the mailboxes that are due or wanted."""
    fanout.tick(wiring.world())


@app.function_name("sync_mail")
@app.queue_trigger(arg_name="message", queue_name="sync-mail", connection="AzureWebJobsStorage")
def sync_mail(message: func.QueueMessage) -> None:
    """Capture what is new in a mailbox."""
    jobs.work(wiring.world(), "sync-mail", message.get_body().decode(errors="replace"), capture.live)


@app.function_name("backfill_mail")
@app.queue_trigger(arg_name="message", queue_name="backfill-mail", connection="AzureWebJobsStorage")
def backfill_mail(message: func.QueueMessage) -> None:
    """Capture one page of a mailbox's old mail."""
    jobs.work(wiring.world(), "backfill-mail", message.get_body().decode(errors="replace"), capture.backfill)


@app.function_name("history_mail")
@app.queue_trigger(arg_name="message", queue_name="history-mail", connection="AzureWebJobsStorage")
def history_mail(message: func.QueueMessage) -> None:
    """Look for the old mail of contacts that came later."""
    jobs.work(wiring.world(), "history-mail", message.get_body().decode(errors="replace"), history.history)


@app.function_name("purge")
@app.timer_trigger(arg_name="timer", schedule="0 23 2 * * *", run_on_startup=False)
def purge(timer: func.TimerRequest) -> None:  # noqa: ARG001 - the worker passes it by this name
    """Remove what was kept for a time only."""
    retention.purge(wiring.world())


@app.function_name("poll_idle")
@app.queue_trigger(arg_name="message", queue_name="poll-idle", connection="AzureWebJobsStorage")
def poll_idle(message: func.QueueMessage) -> None:
    """Ask up to fifty idle mailboxes together whether anything changed."""
    poll.poll_idle(wiring.world(), message.get_body().decode(errors="replace"))


@app.function_name("poisoned_sync_mail")
@app.queue_trigger(arg_name="message", queue_name="sync-mail-poison", connection="AzureWebJobsStorage")
def poisoned_sync_mail(message: func.QueueMessage) -> None:
    """Log a mail job that failed for good."""
    jobs.poisoned(wiring.world(), "sync-mail", message.get_body().decode(errors="replace"))


@app.function_name("poisoned_backfill_mail")
@app.queue_trigger(arg_name="message", queue_name="backfill-mail-poison", connection="AzureWebJobsStorage")
def poisoned_backfill_mail(message: func.QueueMessage) -> None:
    """Log a backfill job that failed for good."""
    jobs.poisoned(wiring.world(), "backfill-mail", message.get_body().decode(errors="replace"))


@app.function_name("poisoned_history_mail")
@app.queue_trigger(arg_name="message", queue_name="history-mail-poison", connection="AzureWebJobsStorage")
def poisoned_history_mail(message: func.QueueMessage) -> None:
    """Log a history job that failed for good."""
    jobs.poisoned(wiring.world(), "history-mail", message.get_body().decode(errors="replace"))


@app.function_name("poisoned_poll_idle")
@app.queue_trigger(arg_name="message", queue_name="poll-idle-poison", connection="AzureWebJobsStorage")
def poisoned_poll_idle(message: func.QueueMessage) -> None:
    """Log a shard of idle mailboxes that failed for good."""
    jobs.poisoned(wiring.world(), "poll-idle", message.get_body().decode(errors="replace"))


@app.function_name("http")
@app.route(
    route="{*path}",
    methods=["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"],
    auth_level=func.AuthLevel.ANONYMOUS,
)
async def http(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    """Everything over HTTP; its own keys guard every route. Imported late: queue functions never load the web."""
    from sync.web import answer

    return await answer(req, context)
