"""What AWS, or the way to it, can answer. boto's errors become these in one place: `translated` and `from_client_error`.

RehostError
└── AwsError
    ├── CredentialsMissing
    ├── CredentialsRefused
    ├── RegionMissing
    ├── ProfileMissing
    ├── EndpointUnreachable   retryable
    ├── Throttled             retryable
    ├── ServiceFailed         retryable: a 5xx that did not go away
    ├── AccessDenied
    ├── QuotaReached
    ├── NoCapacity            AWS has no such machine free in the zone
    ├── NotFound
    ├── NotOurs               it lacks our tags: never modified, never deleted
    ├── SnapshotFailed        a snapshot ended in `error`
    ├── ChecksumMismatch      bytes that came back are not those their checksum names
    ├── Interrupted           retryable: the caller gave up waiting
    ├── TooSlow               AWS accepted it, but it has not happened in time
    └── Refused               everything else, with AWS's own code and message
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import botocore.exceptions as boto

from rehost.errors import RehostError


class AwsError(RehostError):
    """Root of this package's errors."""


class CredentialsMissing(AwsError):
    template = "no AWS credentials were found; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run where a role is attached"


class CredentialsRefused(AwsError):
    template = "AWS refuses the credentials ({code}): {message}; renew them (aws sso login), or check the account and the clock"


class RegionMissing(AwsError):
    template = "no AWS region is set; `pulumi config set rehost:region REGION`, or set AWS_REGION"


class ProfileMissing(AwsError):
    template = "the AWS profile {profile} does not exist; see `aws configure list-profiles`, or correct rehost:profile"


class EndpointUnreachable(AwsError):
    template = "{endpoint} cannot be reached: {reason}; check the network, the proxy and rehost:endpoint"
    retryable = True


class Throttled(AwsError):
    template = "{operation}: AWS kept throttling ({code}); try again later, or ask for a higher quota"
    retryable = True


class ServiceFailed(AwsError):
    template = "{operation}: AWS kept failing with {code}: {message}"
    retryable = True


class AccessDenied(AwsError):
    template = "{operation} is not allowed: {message}; docs/security.md lists the permissions that are needed"


class QuotaReached(AwsError):
    template = "{operation}: a quota of the account is reached: {message}; ask for a higher one in Service Quotas"


class NoCapacity(AwsError):
    template = "{operation}: AWS has no capacity for it now: {message}; `pulumi up` again later, or name another instance type or subnet"


class NotFound(AwsError):
    template = "{operation}: {message}"


class NotOurs(AwsError):
    template = "{resource} does not carry this stack's tags (rehost:stack = {stack}): it is left alone"


class SnapshotFailed(AwsError):
    template = "snapshot {snapshot} ended in state error: {message}"


class ChecksumMismatch(AwsError):
    template = "{operation}: block {index} of {snapshot} does not match its checksum, {tries} times in a row"
    retryable = True


class Interrupted(AwsError):
    template = "{operation}: block {index} of {snapshot} was given up, as what asked for it is ending"
    retryable = True


class TooSlow(AwsError):
    template = "{resource} is still {state} after {seconds:.0f} s"
    retryable = True


class Refused(AwsError):
    template = "{operation}: {message} ({code})"


#: Codes by which services refuse credentials (IAM user guide, "Troubleshoot access denied"; EC2 and STS API references).
CREDENTIAL_CODES = frozenset(
    {
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
DENIED_CODES = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})
THROTTLE_CODES = frozenset(
    {
        "ConcurrentLimitExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
_QUOTA = re.compile(r"LimitExceeded|QuotaExceeded")
_CAPACITY = re.compile(r"^Insufficient\w*Capacity$")
_NOT_FOUND = re.compile(r"NotFound|Unavailable$|NoSuchEntity")


def from_answer(operation: str, code: str, message: str, status: int) -> AwsError:
    """The error for an answer of AWS: its code, its message and the HTTP status."""
    if code in CREDENTIAL_CODES:
        return CredentialsRefused(code=code, message=message)
    if code in DENIED_CODES:
        return AccessDenied(operation=operation, message=message)
    if code in THROTTLE_CODES:
        return Throttled(operation=operation, code=code)
    if _CAPACITY.search(code):
        return NoCapacity(operation=operation, message=message)
    if _QUOTA.search(code) or status == 402:
        return QuotaReached(operation=operation, message=message)
    if status >= 500:  # before the names: `Unavailable` with 503 is a service that is overloaded
        return ServiceFailed(operation=operation, code=code or status, message=message)
    if _NOT_FOUND.search(code):
        return NotFound(operation=operation, message=message)
    return Refused(operation=operation, code=code, message=message)


@contextmanager
def translated(endpoint: str = "AWS") -> Iterator[None]:
    """Turn boto's errors into ours. Messages come from AWS; none of them holds a secret."""
    try:
        yield
    except boto.ClientError as error:
        answer = error.response.get("Error", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        code, message = answer.get("Code", ""), answer.get("Message", "") or answer.get("Reason", "")
        raise from_answer(error.operation_name, code, message, status) from None
    except boto.ProfileNotFound as error:
        raise ProfileMissing(profile=error.kwargs.get("profile")) from None
    except (boto.NoRegionError, boto.InvalidRegionError):
        raise RegionMissing from None
    except (boto.NoCredentialsError, boto.PartialCredentialsError):
        raise CredentialsMissing from None
    except (boto.CredentialRetrievalError, boto.TokenRetrievalError, boto.SSOError) as error:
        raise CredentialsRefused(code=type(error).__name__, message=str(error)) from None
    except (boto.HTTPClientError, boto.ConnectionError) as error:
        raise EndpointUnreachable(
            endpoint=getattr(error, "kwargs", {}).get("endpoint_url") or endpoint, reason=reason_of(error)
        ) from None
    except (boto.ParamValidationError, boto.BotoCoreError, ValueError) as error:
        raise Refused(operation="request", code=type(error).__name__, message=str(error)) from None


def reason_of(error: BaseException) -> str:
    """The innermost reason in a line: `Connection refused` rather than three nested reprs."""
    text = str(getattr(error, "kwargs", {}).get("error") or error)
    found = re.search(
        r"\[Errno -?\d+\] ([^)'\"]+)|(certificate verify failed[^)]*)|(timed out)|(Remote end closed[^)'\"]*)", text
    )
    return next((group for group in found.groups() if group), text) if found else text
