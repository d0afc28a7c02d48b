"""One sentence an event type, as its message id; the catalogues of `locales/` hold the other languages.

Places are filled from the event's facts: amounts, dates, words and codes in the reader's language; ids by the name of
the firm or programme. `{who}` is the firm that the event is about.
"""

from __future__ import annotations

SUMMARIES: dict[str, str] = {
    "enterprise.registered.v1": "{name} is registered ({country})",
    "enterprise.suspended.v1": "{enterprise_id} is suspended: {reason}",
    "enterprise.reinstated.v1": "{enterprise_id} is active again",
    "enterprise.line_agreement_signed.v1": "{enterprise_id} signs the agreement for {programme_id} until {expiry_date}",
    "link.recorded.v1": "{supplier_id} supplies {buyer_id}: {traded} in twelve months",
    "programme.activated.v1": "{name} of {anchor_id} is active with a limit of {terms_limit}",
    "programme.limit_changed.v1": "The limit of {programme_id} is now {limit}: {reason}",
    "programme.suspended.v1": "{programme_id} is suspended: {reason}",
    "programme.member_admitted.v1": "{enterprise_id} joins {programme_id} ({direction})",
    "receivable.registered.v1": "Invoice {number} of {seller_id} on {obligor_id}: {payable} due {due_date} ({state})",
    "receivable.confirmed.v1": "{obligor_id} confirms {financeable} to {seller_id}, due {due_date}",
    "receivable.diluted.v1": "A document of {who} loses {by}, {financeable} is left: {reason}",
    "receivable.rejected.v1": "A document of {who} is rejected: {reason}",
    "receivable.settled.v1": "A document of {who} is settled",
    "voucher.issued.v1": "{obligor_id} issues a voucher of {face}, maturing {maturity_date}",
    "voucher.transferred.v1": "A voucher's slice changes hands for {trade_reference}, now in {slices} parts",
    "voucher.settled.v1": "A voucher's slice is paid",
    "assignment.documents_assigned.v1": "Documents of {who} are assigned and filed as {registry_reference}",
    "assignment.refused.v1": "The assignment for {who} is refused: {reason}",
    "assignment.withdrawn.v1": "The documents of {who} are withdrawn: {reason}",
    "assignment.freed.v1": "The documents of {who} are free again",
    "assignment.financed.v1": "The documents of {who} are financed",
    "assignment.settled.v1": "The assignment of {who} is settled",
    "rating.recorded.v1": "{enterprise_id} is rated {grade}, at most {cap}",
    "limit.propagated.v1": "{programme_id}: {reserved} of {pool} reserved, {changed_lines} lines changed ({cause})",
    "line.changed.v1": "The line of {enterprise_id}, tier {tier} {direction}: {cap_before} → {cap}",
    "drawdown.held.v1": "{enterprise_id} draws {principal}, {held} is held",
    "drawdown.referred.v1": "A person decides on the drawdown of {who}: {reasons}",
    "drawdown.approved.v1": "The drawdown of {enterprise_id} over {principal} is approved until {maturity_date}",
    "drawdown.released.v1": "The hold of {who} is released: {reason}",
    "drawdown.cancellation_requested.v1": "The drawdown of {who} is to be cancelled: {reason}",
    "drawdown.utilised.v1": "{who} uses {principal}",
    "drawdown.reinstated.v1": "{principal} of {who} is available again, {outstanding} is open",
    "drawdown.repaid.v1": "The drawdown of {who} is repaid",
    "business_day.opened.v1": "The book opens on {open_date}",
    "business_day.closed.v1": "{closed_date} is closed, {open_date} is open",
    "loan.instructed.v1": "{paid_out} for {who} is sent to the rail",
    "loan.disbursement_unknown.v1": "The rail is silent about the payment for {who}",
    "loan.disbursed.v1": "{paid_out} is paid out for {who}, due {maturity_date}",
    "loan.disbursement_failed.v1": "The payment for {who} failed: {reason}",
    "loan.overdue.v1": "{outstanding} of {who} is {days_past_due} days past due",
    "loan.repaid.v1": "{principal} of principal and {interest} of interest repaid for {who}, {outstanding} is open",
    "loan.closed.v1": "The loan of {who} is closed",
    "collection.received.v1": "{received} received for {reference}: {applied} applied, {unmatched} unmatched",
}

# Words that facts carry as they are, in lower case with spaces; any other reads as it came.
WORDS: tuple[str, ...] = (
    *("upstream", "downstream", "validated", "referred", "held", "approved", "cancelling", "released", "utilised"),
    *(
        "repaid",
        "assigned",
        "refused",
        "withdrawn",
        "freed",
        "financed",
        "settled",
        "instructed",
        "unknown",
        "disbursed",
        "failed",
    ),
    *("closed", "active", "suspended", "none", "irrevocable", "loan", "purchase", "above automatic approval"),
    *("disbursed after release", "disbursed while cancelling", "due date assumed", "gap", "fork", "unknown type"),
    *("waits", "malformed", "yes", "no", "sme suspended", "programme not active", "unrated", "rating expired"),
    *("agreement not signed", "agreement expired", "no trade with the anchor"),
    *("onboarding", "receivables", "risk", "credit", "settlement"),
    *("forbidden", "not found", "invalid id", "invalid cursor", "invalid request", "internal error"),
)
