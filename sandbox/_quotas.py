"""Service Quotas of EC2 and EBS, and KMS's dry runs: what moto lacks of them.

Codes and names are AWS's; `POST /_sandbox/quotas` sets others, by quota code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from moto.core.exceptions import JsonRESTError
from moto.kms.responses import KmsResponse
from moto.servicequotas.responses import ServiceQuotasResponse

from sandbox._ebs import ACCOUNT

_NAMES = {"ec2": "Amazon Elastic Compute Cloud (Amazon EC2)", "ebs": "Amazon Elastic Block Store (Amazon EBS)"}
#: Service, code, name, value, unit: what an account that is no longer new has; AWS gives new ones less.
_QUOTAS = (
    ("ec2", "L-1216C47A", "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances", 1152.0, "None"),
    ("ec2", "L-74FC7D96", "Running On-Demand F instances", 128.0, "None"),
    ("ec2", "L-DB2E81BA", "Running On-Demand G and VT instances", 128.0, "None"),
    ("ec2", "L-1945791B", "Running On-Demand Inf instances", 128.0, "None"),
    ("ec2", "L-417A185B", "Running On-Demand P instances", 128.0, "None"),
    ("ec2", "L-7295265B", "Running On-Demand X instances", 128.0, "None"),
    ("ec2", "L-43DA4232", "Running On-Demand High Memory instances", 448.0, "None"),
    ("ec2", "L-F7808C92", "Running On-Demand HPC instances", 768.0, "None"),
    ("ec2", "L-6E869C2A", "Running On-Demand DL instances", 96.0, "None"),
    ("ec2", "L-2C3B7624", "Running On-Demand Trn instances", 128.0, "None"),
    ("ebs", "L-D18FCD1D", "Storage for General Purpose SSD (gp2) volumes, in TiB", 50.0, "None"),
    ("ebs", "L-7A658B76", "Storage for General Purpose SSD (gp3) volumes, in TiB", 50.0, "None"),
    ("ebs", "L-FD252861", "Storage for Provisioned IOPS SSD (io1) volumes, in TiB", 50.0, "None"),
    ("ebs", "L-09BD8365", "Storage for Provisioned IOPS SSD (io2) volumes, in TiB", 20.0, "None"),
    ("ebs", "L-82ACEF56", "Storage for Throughput Optimized HDD (st1) volumes, in TiB", 50.0, "None"),
    ("ebs", "L-17AF77E8", "Storage for Cold HDD (sc1) volumes, in TiB", 50.0, "None"),
    ("ebs", "L-9CF3C2EB", "Storage for Magnetic (standard) volumes, in TiB", 50.0, "None"),
    ("ebs", "L-309BACF6", "Snapshots per Region", 100000.0, "None"),
)


class Quotas:
    """The values that hold for the account, in every region alike."""

    def __init__(self) -> None:
        self._values = {code: value for _service, code, _name, value, _unit in _QUOTAS}

    def set(self, values: Mapping[str, Any]) -> None:
        """Raises KeyError for a code that is not here."""
        for code, value in values.items():
            if code not in self._values:
                raise KeyError(code)
            self._values[code] = float(value)

    def page(self, service: str, region: str, token: str | None, size: int) -> dict[str, Any]:
        """One page, as ListServiceQuotas answers it: at most `size` quotas, and where the next one begins."""
        if service not in _NAMES:
            raise _refused(
                "NoSuchResourceException", "The request failed because the specified service does not exist."
            )
        if not 1 <= size <= 100:
            raise _refused("IllegalArgumentException", "MaxResults must be from 1 to 100.")
        found = [self._entry(row, region) for row in _QUOTAS if row[0] == service]
        start = int(token or 0)
        answer: dict[str, Any] = {"Quotas": found[start : start + size]}
        if start + size < len(found):
            answer["NextToken"] = str(start + size)
        return answer

    def one(self, service: str, region: str, code: str) -> dict[str, Any]:
        for row in _QUOTAS:
            if row[:2] == (service, code):
                return {"Quota": self._entry(row, region)}
        raise _refused("NoSuchResourceException", "The request failed because the specified quota does not exist.")

    def _entry(self, row: tuple[str, str, str, float, str], region: str) -> dict[str, Any]:
        service, code, name, _default, unit = row
        return {
            "ServiceCode": service,
            "ServiceName": _NAMES[service],
            "QuotaArn": f"arn:aws:servicequotas:{region}:{ACCOUNT}:{service}/{code}",
            "QuotaCode": code,
            "QuotaName": name,
            "Value": self._values[code],
            "Unit": unit,
            "Adjustable": True,
            "GlobalQuota": False,
            "QuotaAppliedAtLevel": "ACCOUNT",
        }


def install(quotas: Quotas) -> None:
    """Give moto's Service Quotas these values, and its KMS the dry runs. Once a process."""
    of_moto = ServiceQuotasResponse.get_service_quota

    def list_service_quotas(self: Any) -> str:
        asked = json.loads(self.body)
        size = int(asked.get("MaxResults") or 100)
        return json.dumps(quotas.page(str(asked.get("ServiceCode")), self.region, asked.get("NextToken"), size))

    def get_service_quota(self: Any) -> str:
        asked = json.loads(self.body)
        if asked.get("ServiceCode") not in _NAMES:
            return of_moto(self)
        return json.dumps(quotas.one(asked["ServiceCode"], self.region, str(asked.get("QuotaCode"))))

    of_kms = KmsResponse.generate_data_key_without_plaintext

    def generate_data_key_without_plaintext(self: Any) -> str:
        made = of_kms(self)  # it refuses what it would refuse
        if self._get_param("DryRun"):
            raise JsonRESTError(
                "DryRunOperationException", "The request would have succeeded, but the DryRun option is set."
            )
        return made

    replacements: Mapping[str, Any] = {
        "list_service_quotas": list_service_quotas,
        "get_service_quota": get_service_quota,
    }
    for name, method in replacements.items():
        setattr(ServiceQuotasResponse, name, method)
    setattr(KmsResponse, "generate_data_key_without_plaintext", generate_data_key_without_plaintext)  # noqa: B010


def _refused(code: str, message: str) -> JsonRESTError:
    return JsonRESTError(code, message)
