"""AWS: the only place that speaks boto3, and the data plane of the EBS direct APIs."""

from rehost.aws._account import Account, InstanceTypeView, LiveInstance, SubnetView
from rehost.aws._aws import Aws, Owned
from rehost.aws._commands import Commands, Invocation, ManagedNode
from rehost.aws._details import AddressDetails, InstanceDetails, InterfaceDetails, VolumeDetails
from rehost.aws._ebs import EbsDirect, SnapshotSink, SnapshotView
from rehost.aws._errors import (
    AccessDenied,
    AwsError,
    ChecksumMismatch,
    CredentialsMissing,
    CredentialsRefused,
    EndpointUnreachable,
    Interrupted,
    NoCapacity,
    NotFound,
    NotOurs,
    ProfileMissing,
    QuotaReached,
    Refused,
    RegionMissing,
    ServiceFailed,
    SnapshotFailed,
    Throttled,
    TooSlow,
)
from rehost.aws._images import DiskImage, ImageView
from rehost.aws._imports import ImportProgress, ImportRequest, ImportTask
from rehost.aws._instance_types import Choice, Need
from rehost.aws._instances import Instances, InstanceView
from rehost.aws._launch import Interface, LaunchRequest, VolumeSettings
from rehost.aws._launch_checks import Asked, Problem, is_kept_by_aws
from rehost.aws._preflight import KeyView
from rehost.aws._retry import RetryPolicy
from rehost.aws._session import AwsSettings, Identity
from rehost.aws._tags import RUN_TAG, SERVER_TAG, STACK_TAG, TOKEN_TAG

__all__ = [
    "RUN_TAG",
    "SERVER_TAG",
    "STACK_TAG",
    "TOKEN_TAG",
    "AccessDenied",
    "Account",
    "AddressDetails",
    "Asked",
    "Aws",
    "AwsError",
    "AwsSettings",
    "ChecksumMismatch",
    "Choice",
    "Commands",
    "CredentialsMissing",
    "CredentialsRefused",
    "DiskImage",
    "EbsDirect",
    "EndpointUnreachable",
    "Identity",
    "ImageView",
    "ImportProgress",
    "ImportRequest",
    "ImportTask",
    "InstanceDetails",
    "InstanceTypeView",
    "InstanceView",
    "Instances",
    "Interface",
    "InterfaceDetails",
    "Interrupted",
    "Invocation",
    "KeyView",
    "LaunchRequest",
    "LiveInstance",
    "ManagedNode",
    "Need",
    "NoCapacity",
    "NotFound",
    "NotOurs",
    "Owned",
    "Problem",
    "ProfileMissing",
    "QuotaReached",
    "Refused",
    "RegionMissing",
    "RetryPolicy",
    "ServiceFailed",
    "SnapshotFailed",
    "SnapshotSink",
    "SnapshotView",
    "SubnetView",
    "Throttled",
    "TooSlow",
    "VolumeDetails",
    "VolumeSettings",
    "is_kept_by_aws",
]
